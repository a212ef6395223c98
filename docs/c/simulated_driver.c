/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A driver on a card in virtual time: brings it up, encrypts a text a hundred times with
 * AES-128-GCM, and compares every byte.
 *
 * usage: simulated_driver SEED [FAULTS]
 *
 * docs/tutorial-c-world.md goes through it. Exit status 0 if all texts are right, 3 if the card
 * went away and the driver gave up in good order, 1 if anything else happened, 2 if it was called
 * wrongly.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ringside_card.h"
#include "ringside_world.h"

#define ENTRIES 4u
#define ADMIN 0u
#define DATA 1u
#define SESSION 7u
#define ROUNDS 100u
/* How long an interrupt may take, and how often a wait without one looks at the card, in ns. */
#define PATIENCE 1000000u
#define TRIES 3u

/* Known answer: test case 4 of the GCM specification by McGrew and Viega. */
#define TEXT_LEN 60u
#define AAD_LEN 20u
#define TAG_LEN 16u
static const uint8_t KEY[16] = {
	0xfe, 0xff, 0xe9, 0x92, 0x86, 0x65, 0x73, 0x1c, 0x6d, 0x6a, 0x8f, 0x94, 0x67, 0x30, 0x83, 0x08,
};
static const uint8_t IV[12] = {
	0xca, 0xfe, 0xba, 0xbe, 0xfa, 0xce, 0xdb, 0xad, 0xde, 0xca, 0xf8, 0x88,
};
static const uint8_t SOURCE[AAD_LEN + TEXT_LEN] = {
	/* what is authenticated only */
	0xfe, 0xed, 0xfa, 0xce, 0xde, 0xad, 0xbe, 0xef, 0xfe, 0xed, 0xfa, 0xce, 0xde, 0xad, 0xbe, 0xef,
	0xab, 0xad, 0xda, 0xd2,
	/* what is encrypted too */
	0xd9, 0x31, 0x32, 0x25, 0xf8, 0x84, 0x06, 0xe5, 0xa5, 0x59, 0x09, 0xc5, 0xaf, 0xf5, 0x26, 0x9a,
	0x86, 0xa7, 0xa9, 0x53, 0x15, 0x34, 0xf7, 0xda, 0x2e, 0x4c, 0x30, 0x3d, 0x8a, 0x31, 0x8a, 0x72,
	0x1c, 0x3c, 0x0c, 0x95, 0x95, 0x68, 0x09, 0x53, 0x2f, 0xcf, 0x0e, 0x24, 0x49, 0xa6, 0xb5, 0x25,
	0xb1, 0x6a, 0xed, 0xf5, 0xaa, 0x0d, 0xe6, 0x57, 0xba, 0x63, 0x7b, 0x39,
};
static const uint8_t EXPECTED[TEXT_LEN + TAG_LEN] = {
	0x42, 0x83, 0x1e, 0xc2, 0x21, 0x77, 0x74, 0x24, 0x4b, 0x72, 0x21, 0xb7, 0x84, 0xd0, 0xd4, 0x9c,
	0xe3, 0xaa, 0x21, 0x2f, 0x2c, 0x02, 0xa4, 0xe0, 0x35, 0xc1, 0x7e, 0x23, 0x29, 0xac, 0xa1, 0x2e,
	0x21, 0xd5, 0x14, 0xb2, 0x54, 0x66, 0x93, 0x1c, 0x7d, 0x8f, 0x6a, 0x5a, 0xac, 0x84, 0xaa, 0x05,
	0x1b, 0xa3, 0x0b, 0x39, 0x6a, 0x0a, 0xac, 0x97, 0x3d, 0x58, 0xe0, 0x91,
	/* the tag */
	0x5b, 0xc9, 0x4f, 0xbc, 0x32, 0x21, 0xa5, 0xdb, 0x94, 0xfa, 0xe9, 0x5a, 0xe7, 0x12, 0x1a, 0x47,
};

/* What driver and card share. */
struct shared {
	_Alignas(64) struct ringside_command commands[2][ENTRIES];
	_Alignas(64) struct ringside_completion completions[2][ENTRIES];
	struct ringside_session_block block;
	uint8_t source[sizeof(SOURCE)];
	uint8_t destination[sizeof(EXPECTED)];
};

struct ring {
	uint32_t number;
	uint32_t tail;	 /* next slot for a command */
	uint32_t head;	 /* next slot to look for a completion in */
	uint32_t phase;	 /* phase bit of a new completion there */
	uint64_t cookie; /* of the last command */
};

struct driver {
	struct ringside_world *world;
	struct shared *shared;
	uint64_t address; /* of `shared`, as the card sees it */
	unsigned late;	  /* completions that were found without an interrupt */
};

/* How a step of the driver ended. */
enum end { DONE, GONE, WRONG };

/* Where the card sees a part of the shared memory. */
#define AT(driver, part) ((driver)->address + offsetof(struct shared, part))

/* A call that can only fail if this program is wrong. */
static void must(int code)
{
	if (code == RINGSIDE_WORLD_OK)
		return;
	printf("FAILED  %s\n", ringside_world_why());
	exit(1);
}

static uint32_t read32(struct driver *driver, uint32_t offset)
{
	uint32_t value;

	must(ringside_world_read32(driver->world, offset, &value));
	return value;
}

static void write32(struct driver *driver, uint32_t offset, uint32_t value)
{
	must(ringside_world_write32(driver->world, offset, value));
}

/* A slot without a card answers with ones, and this register never has them all. */
static int is_gone(struct driver *driver)
{
	return read32(driver, RINGSIDE_CONTROL_REG_DEVICE_ID) == UINT32_MAX;
}

static enum end reset(struct driver *driver)
{
	uint32_t status, tries;

	write32(driver, RINGSIDE_CONTROL_REG_CONTROL, RINGSIDE_CONTROL_RESET);
	for (tries = 0; tries < 1000; tries++) {
		status = read32(driver, RINGSIDE_CONTROL_REG_DEVICE_STATUS);
		if (is_gone(driver))
			return GONE;
		if (status & RINGSIDE_DEVICE_STATUS_READY)
			return DONE;
		must(ringside_world_advance(driver->world, 1000));
	}
	printf("FAILED  a reset that ends\n");
	return WRONG;
}

static void start_ring(struct driver *driver, struct ring *ring, uint32_t number)
{
	uint64_t commands = AT(driver, commands) + number * sizeof(driver->shared->commands[0]);
	uint64_t completions =
		AT(driver, completions) + number * sizeof(driver->shared->completions[0]);
	const struct {
		uint32_t offset, value;
	} settings[] = {
		{ RINGSIDE_RING_REG_COMMAND_BASE_LOW, (uint32_t)commands },
		{ RINGSIDE_RING_REG_COMMAND_BASE_HIGH, (uint32_t)(commands >> 32) },
		{ RINGSIDE_RING_REG_COMPLETION_BASE_LOW, (uint32_t)completions },
		{ RINGSIDE_RING_REG_COMPLETION_BASE_HIGH, (uint32_t)(completions >> 32) },
		{ RINGSIDE_RING_REG_ENTRIES, ENTRIES },
		{ RINGSIDE_RING_REG_COALESCE_COUNT, 1 },
		{ RINGSIDE_RING_REG_RING_VECTOR, number },
		{ RINGSIDE_RING_REG_RING_CONTROL, RINGSIDE_RING_CONTROL_ENABLED },
	};
	size_t i;

	*ring = (struct ring){ .number = number, .phase = 1 };
	for (i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
		write32(driver, RINGSIDE_RING_REGISTER(number, settings[i].offset),
			settings[i].value);
}

static void submit(struct driver *driver, struct ring *ring,
		   const struct ringside_command *command)
{
	struct ringside_command *slot = &driver->shared->commands[ring->number][ring->tail];

	*slot = *command;
	slot->cookie = ++ring->cookie;
	ring->tail = (ring->tail + 1) % ENTRIES;
	write32(driver, RINGSIDE_COMMAND_DOORBELL_OF(ring->number), ring->tail);
}

/* Waits for the completion of the last command. Never without an end. */
static enum end complete(struct driver *driver, struct ring *ring)
{
	volatile const struct ringside_completion *entry =
		&driver->shared->completions[ring->number][ring->head];
	uint64_t vectors[2] = { 0, 0 };
	uint32_t tries;

	for (tries = 0; RINGSIDE_COMPLETION_PHASE(entry->status) != ring->phase; tries++) {
		if (is_gone(driver))
			return GONE;
		if (tries == TRIES) {
			printf("FAILED  a completion that comes\n");
			return WRONG;
		}
		must(ringside_world_wait(driver->world, PATIENCE, vectors));
	}
	driver->late += vectors[0] == 0;
	if (entry->cookie != ring->cookie ||
	    RINGSIDE_COMPLETION_STATUS(entry->status) != RINGSIDE_STATUS_SUCCESS) {
		printf("FAILED  a command: status 0x%04x\n",
		       (unsigned)RINGSIDE_COMPLETION_STATUS(entry->status));
		return WRONG;
	}
	ring->head = (ring->head + 1) % ENTRIES;
	if (ring->head == 0)
		ring->phase ^= 1;
	write32(driver, RINGSIDE_COMPLETION_DOORBELL_OF(ring->number),
		ring->head | RINGSIDE_DOORBELL_ARM);
	return DONE;
}

static enum end create_session(struct driver *driver, struct ring *admin)
{
	struct ringside_session_block *block = &driver->shared->block;
	struct ringside_command command = {
		.opcode = RINGSIDE_OPCODE_SESSION_CREATE,
		.session = SESSION,
		.source = AT(driver, block),
		.source_len = sizeof(*block),
	};
	enum end end;

	*block = (struct ringside_session_block){
		.cipher = RINGSIDE_CIPHER_AES_GCM,
		.digest = RINGSIDE_DIGEST_NONE,
		.cipher_key_len = sizeof(KEY),
		.digest_len = TAG_LEN,
		.iv_len = sizeof(IV),
	};
	memcpy(block->cipher_key, KEY, sizeof(KEY));
	submit(driver, admin, &command);
	end = complete(driver, admin);
	memset(block, 0, sizeof(*block));
	return end;
}

/* One text: what is sent, what must come back. */
static enum end encrypt(struct driver *driver, struct ring *data)
{
	struct shared *shared = driver->shared;
	struct ringside_command command = {
		.opcode = RINGSIDE_OPCODE_PROCESS,
		.flags = RINGSIDE_COMMAND_ENCRYPT,
		.session = SESSION,
		.source = AT(driver, source),
		.source_len = sizeof(SOURCE),
		.destination = AT(driver, destination),
		.destination_len = sizeof(EXPECTED),
		.aad_len = AAD_LEN,
		.payload_len = TEXT_LEN,
	};
	enum end end;
	size_t i;

	memcpy(command.iv, IV, sizeof(IV));
	memcpy(shared->source, SOURCE, sizeof(SOURCE));
	memset(shared->destination, 0, sizeof(EXPECTED));
	submit(driver, data, &command);
	end = complete(driver, data);
	for (i = 0; end == DONE && i < sizeof(EXPECTED); i++) {
		if (shared->destination[i] != EXPECTED[i]) {
			printf("FAILED  a text: byte %zu is 0x%02x and not 0x%02x\n", i,
			       (unsigned)shared->destination[i], (unsigned)EXPECTED[i]);
			end = WRONG;
		}
	}
	return end;
}

static enum end work(struct driver *driver)
{
	struct ring admin, data;
	enum end end = reset(driver);
	unsigned round;

	if (end != DONE)
		return end;
	start_ring(driver, &admin, ADMIN);
	start_ring(driver, &data, DATA);
	write32(driver, RINGSIDE_CONTROL_REG_CONTROL, RINGSIDE_CONTROL_ENABLED);
	end = create_session(driver, &admin);
	for (round = 0; end == DONE && round < ROUNDS; round++)
		end = encrypt(driver, &data);
	return end == DONE ? reset(driver) : end;
}

/* Prints what the checkers saw. */
static int report(struct driver *driver)
{
	char text[1024];
	size_t count;

	must(ringside_world_violations(driver->world, text, sizeof(text), &count));
	printf("checkers: %zu violations\n%s", count, text);
	return count == 0;
}

int main(int argc, char **argv)
{
	static const char *const ENDS[] = {
		[DONE] = "PASSED  100 texts, each as published",
		[GONE] = "GONE  there is no card any more",
		[WRONG] = "this driver gave up",
	};
	struct driver driver = { 0 };
	void *memory;
	enum end end;
	int is_clean;

	if (argc != 2 && argc != 3) {
		fprintf(stderr, "usage: simulated_driver SEED [FAULTS]\n");
		return 2;
	}
	must(ringside_world_new("interrupt_jitter_ns = [200, 900]\n"
				"write_jitter_ns = 100\n"
				"[[card]]\n",
				strtoull(argv[1], NULL, 10), &driver.world));
	if (argc == 3)
		must(ringside_world_fault(driver.world, argv[2]));
	must(ringside_world_allocate(driver.world, sizeof(struct shared), &memory,
				     &driver.address));
	driver.shared = memory;
	end = work(&driver);
	must(ringside_world_release(driver.world, driver.address));
	if (end == DONE && driver.late > 0)
		printf("interrupts that did not come: %u\n", driver.late);
	is_clean = report(&driver);
	ringside_world_free(driver.world);
	printf("%s\n", ENDS[end]);
	return end == GONE ? 3 : end == DONE && is_clean ? 0 : 1;
}
