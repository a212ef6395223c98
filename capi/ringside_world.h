/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A card in virtual time, for a driver in C. Link with libringside_world.a.
 *
 * A world is one card in one slot, memory that it shares with the driver, a clock, and faults. The
 * seed decides every delay: the same calls with the same seed give the same run, to the bit.
 * Nothing happens between two calls, and nothing calls back.
 *
 * Whatever fails returns a code other than RINGSIDE_WORLD_OK and changes nothing; text for people is
 * in ringside_world_why(). A pointer to a world must come from ringside_world_new() and not have been
 * freed. A world belongs to the thread that made it.
 *
 * Registers, structures in memory and codes of the card: `ringside datasheet c > ringside_card.h`.
 */
#ifndef RINGSIDE_WORLD_H
#define RINGSIDE_WORLD_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How a call ended. */
#define RINGSIDE_WORLD_OK 0
#define RINGSIDE_WORLD_POINTER 1 /* a pointer is NULL that must not be */
#define RINGSIDE_WORLD_OFFSET 2 /* no register can be there: a multiple of 4 inside BAR 0 */
#define RINGSIDE_WORLD_MEMORY 3 /* no such memory is left, or none was given out there */
#define RINGSIDE_WORLD_TEXT 4 /* a text is not UTF-8, no scenario, or no fault for a card alone */
#define RINGSIDE_WORLD_TIME 5 /* beyond virtual time, which ends after 106 days */
#define RINGSIDE_WORLD_BUG 6 /* a bug of this library, which a release build ends the program for */

struct ringside_world;

/*
 * Makes a world. `scenario` is the text of a scenario file with one [[card]]; what it says of
 * workload and drivers does not count. NULL: one card of profile `reference` in its slot.
 */
int ringside_world_new(const char *scenario, uint64_t seed, struct ringside_world **world);

/* Ends a world, and all memory it gave out. NULL is allowed. */
void ringside_world_free(struct ringside_world *world);

/* Why the last call of this thread that failed did. Valid until the next one fails. */
const char *ringside_world_why(void);

/* Reads a register of BAR 0. All ones if there is no card. Takes no virtual time. */
int ringside_world_read32(struct ringside_world *world, uint32_t offset, uint32_t *value);

/* Writes a register of BAR 0. Posted: it arrives later, in order, or before the next read. */
int ringside_world_write32(struct ringside_world *world, uint32_t offset, uint32_t value);

/*
 * Gives out `len` bytes of zeros, aligned to 64 bytes, that the card reaches too: `memory` is where
 * the driver finds them, `address` where the card does.
 */
int ringside_world_allocate(struct ringside_world *world, size_t len, void **memory,
			    uint64_t *address);

/* Takes memory back. The card reaches it no more, nor may the driver. */
int ringside_world_release(struct ringside_world *world, uint64_t address);

/* Virtual time, in nanoseconds. */
int ringside_world_now(const struct ringside_world *world, uint64_t *ns);

/* Lets `ns` nanoseconds of virtual time go by. Interrupts that arrive wait to be taken. */
int ringside_world_advance(struct ringside_world *world, uint64_t ns);

/*
 * Lets time go by until an interrupt arrives, at most `ns` nanoseconds, and takes the interrupts
 * that have arrived: bit n of vectors[0] is vector n, vectors[1] has those from 64 on. Both are zero
 * if none came in time. With 0 no time goes by.
 */
int ringside_world_wait(struct ringside_world *world, uint64_t ns, uint64_t vectors[2]);

/*
 * Lists faults: the text of one or more [[fault]] tables of a scenario, whose times count from now.
 * What a card alone can suffer: unplug, plug, message, latch, each at_us, at_ns or
 * after_previous_us.
 */
int ringside_world_fault(struct ringside_world *world, const char *faults);

/*
 * What the checkers found so far, in `count`, and as text, one a line, cut off after `len` - 1 bytes.
 * `text` may be NULL if `len` is 0.
 */
int ringside_world_violations(const struct ringside_world *world, char *text, size_t len,
			      size_t *count);

/* Digest of all that has happened: two runs that differ have different ones. */
int ringside_world_digest(const struct ringside_world *world, uint64_t *digest);

#ifdef __cplusplus
}
#endif

#endif
