/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A card in another process, over the vfio-user protocol: what a driver needs of its bus.
 *
 * A driver for a card in a slot has the same few functions from its operating system. None of
 * these returns when something does not hold: it says what, and ends the program.
 */
#ifndef VFIO_USER_H
#define VFIO_USER_H

#include <stddef.h>
#include <stdint.h>

/* A card, and memory that it can reach. */
struct card {
	int socket;
	uint16_t next_id;	/* of the next message */
	int events[2];		/* interrupt vectors 0 and 1 */
	unsigned char *memory;	/* as this process sees it; as the card does: MEMORY_AT */
};

#define MEMORY_AT 0x100000000ull
#define MEMORY_BYTES 0x10000u
#define PATIENCE_MS 2000

/* Says what was wanted and why it did not come about, and ends the program with status 1. */
_Noreturn void fail(const char *wanted, const char *why, ...)
	__attribute__((format(printf, 2, 3)));

/* Connects to the server that listens on the socket `path`. */
void card_connect(struct card *card, const char *path);
/* Makes memory that this process and the card share, all zeros. */
void card_share_memory(struct card *card);
/* Asks for interrupt vectors 0 and 1. */
void card_listen(struct card *card);
/* Waits for an interrupt of `vector`, at most PATIENCE_MS; 0 if none came. */
int card_wait(struct card *card, int vector);

/* Reads and writes a register of BAR 0. */
uint32_t card_read(struct card *card, uint32_t offset);
void card_write(struct card *card, uint32_t offset, uint32_t value);
/* Reads and writes a register of two bytes in configuration space. */
uint16_t card_read_config(struct card *card, uint32_t offset);
void card_write_config(struct card *card, uint32_t offset, uint16_t value);

#endif
