/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A first driver: brings a card up, encrypts 32 bytes, and shows that every step did what the
 * datasheet says.
 *
 * usage: first_driver SOCKET
 *
 * docs/tutorial-c.md goes through it. Exit status 0 if everything held; otherwise 1, with what did
 * not on standard error.
 */
#define _POSIX_C_SOURCE 200809L
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "ringside_card.h"
#include "vfio_user.h"

/* Entries of a ring. One stays empty, so that three commands can be under way. */
#define ENTRIES 4u
/* Ring 0 is the admin ring, for sessions; data rings count from 1. */
#define ADMIN 0u
#define DATA 1u
/* Number of the session: the driver chooses. */
#define SESSION 7u

/* Known answer: AES-128-CBC, CAVS 11.1, AESVS MMT test data for CBC, encryption, count 1. */
#define TEXT_LEN 32u
static const uint8_t KEY[16] = {
	0x07, 0x00, 0xd6, 0x03, 0xa1, 0xc5, 0x14, 0xe4, 0x6b, 0x61, 0x91, 0xba, 0x43, 0x0a, 0x3a, 0x0c,
};
static const uint8_t IV[16] = {
	0xaa, 0xd1, 0x58, 0x3c, 0xd9, 0x13, 0x65, 0xe3, 0xbb, 0x2f, 0x0c, 0x34, 0x30, 0xd0, 0x65, 0xbb,
};
static const uint8_t PLAINTEXT[TEXT_LEN] = {
	0x06, 0x8b, 0x25, 0xc7, 0xbf, 0xb1, 0xf8, 0xbd, 0xd4, 0xcf, 0xc9, 0x08, 0xf6, 0x9d, 0xff, 0xc5,
	0xdd, 0xc7, 0x26, 0xa1, 0x97, 0xf0, 0xe5, 0xf7, 0x20, 0xf7, 0x30, 0x39, 0x32, 0x79, 0xbe, 0x91,
};
static const uint8_t CIPHERTEXT[TEXT_LEN] = {
	0xc4, 0xdc, 0x61, 0xd9, 0x72, 0x59, 0x67, 0xa3, 0x02, 0x01, 0x04, 0xa9, 0x73, 0x8f, 0x23, 0x86,
	0x85, 0x27, 0xce, 0x83, 0x9a, 0xab, 0x17, 0x52, 0xfd, 0x8b, 0xdb, 0x95, 0xa8, 0x2c, 0x4d, 0x00,
};

/* What the card and this program share. The compiler aligns rings as the card wants them. */
struct shared {
	_Alignas(64) struct ringside_command commands[2][ENTRIES];
	_Alignas(32) struct ringside_completion completions[2][ENTRIES];
	struct ringside_session_block block;
	uint8_t source[TEXT_LEN];
	uint8_t destination[TEXT_LEN];
};
_Static_assert(sizeof(struct shared) <= MEMORY_BYTES, "the shared memory holds it all");

/* Where the card sees a part of the shared memory. */
#define AT(part) (MEMORY_AT + offsetof(struct shared, part))

/* A ring pair, as its driver sees it. */
struct ring {
	uint32_t number;
	uint32_t tail;	/* next slot for a command */
	uint32_t head;	/* next slot to look for a completion in */
	uint32_t phase;	/* phase bit of a new completion there */
	uint64_t cookie; /* of the last command */
};

static struct shared *shared(struct card *card)
{
	return (struct shared *)card->memory;
}

/* Is this the card that the header describes, and one that this program can drive? */
static void identify(struct card *card)
{
	uint32_t id, version, errata;

	/* A PCI function answers and reaches memory only when it is allowed to. */
	card_write_config(card, RINGSIDE_PCI_REG_COMMAND,
			  (uint16_t)(card_read_config(card, RINGSIDE_PCI_REG_COMMAND) |
				     RINGSIDE_PCI_COMMAND_MEMORY_SPACE |
				     RINGSIDE_PCI_COMMAND_BUS_MASTER));
	id = card_read(card, RINGSIDE_CONTROL_REG_DEVICE_ID);
	if (id != RINGSIDE_CONTROL_REG_DEVICE_ID_RESET)
		fail("a card", "register DeviceId reads %#010x and not %#010x", id,
		     RINGSIDE_CONTROL_REG_DEVICE_ID_RESET);
	version = card_read(card, RINGSIDE_CONTROL_REG_VERSION);
	if (version >> 16 != RINGSIDE_CONTROL_REG_VERSION_RESET >> 16)
		fail("a card", "its version is %u.%u", version >> 16, version & 0xffff);
	errata = card_read(card, RINGSIDE_CONTROL_REG_ERRATA);
	if (errata != 0)
		fail("a card without errata", "register Errata reads %#x", errata);
	printf("card: version %u.%u, %u data ring pairs, %u sessions\n", version >> 16,
	       version & 0xffff, card_read(card, RINGSIDE_CONTROL_REG_RING_PAIRS),
	       card_read(card, RINGSIDE_CONTROL_REG_SESSION_CAPACITY));
}

/* Resets the card: rings stop, and keys that somebody left there are zeroed. */
static void reset(struct card *card)
{
	struct timespec millisecond = { .tv_nsec = 1000000 };
	uint32_t status = 0;
	int tries;

	card_write(card, RINGSIDE_CONTROL_REG_CONTROL, RINGSIDE_CONTROL_RESET);
	for (tries = 0; tries < PATIENCE_MS; tries++) {
		status = card_read(card, RINGSIDE_CONTROL_REG_DEVICE_STATUS);
		if (status & RINGSIDE_DEVICE_STATUS_READY)
			return;
		nanosleep(&millisecond, NULL);
	}
	fail("a reset", "register DeviceStatus still reads %#x", status);
}

static uint32_t ring_register(const struct ring *ring, uint32_t offset)
{
	return RINGSIDE_RING_REGISTER(ring->number, offset);
}

/* Gives the card a ring pair. The memory is all zeros, so that no entry looks new. */
static void start_ring(struct card *card, struct ring *ring, uint32_t number)
{
	uint64_t commands = AT(commands) + number * sizeof(shared(card)->commands[0]);
	uint64_t completions = AT(completions) + number * sizeof(shared(card)->completions[0]);
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
	uint32_t status;
	size_t i;

	*ring = (struct ring){ .number = number, .phase = 1 };
	for (i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
		card_write(card, ring_register(ring, settings[i].offset), settings[i].value);
	status = card_read(card, ring_register(ring, RINGSIDE_RING_REG_RING_STATUS));
	if (status != RINGSIDE_RING_STATUS_RUNNING)
		fail("a ring that runs", "RingStatus of ring %u reads %#x", number, status);
}

/* Puts a command on a ring, and tells the card. */
static void submit(struct card *card, struct ring *ring, const struct ringside_command *command)
{
	struct ringside_command *slot = &shared(card)->commands[ring->number][ring->tail];

	*slot = *command;
	slot->cookie = ++ring->cookie;
	ring->tail = (ring->tail + 1) % ENTRIES;
	/* The descriptor is in memory before the doorbell rings. */
	atomic_thread_fence(memory_order_release);
	card_write(card, RINGSIDE_COMMAND_DOORBELL_OF(ring->number), ring->tail);
}

/* Waits for the completion of the command that was submitted last. Returns its status code. */
static uint32_t complete(struct card *card, struct ring *ring, const char *wanted)
{
	struct ringside_completion *entry = &shared(card)->completions[ring->number][ring->head];
	volatile const uint32_t *word = &entry->status;

	while (RINGSIDE_COMPLETION_PHASE(*word) != ring->phase)
		if (!card_wait(card, (int)ring->number))
			fail(wanted, "no completion, and no interrupt either");
	/* Of an entry the status word is written last, so it is read first. */
	atomic_thread_fence(memory_order_acquire);
	if (entry->cookie != ring->cookie)
		fail(wanted, "the completion is that of another command");
	ring->head = (ring->head + 1) % ENTRIES;
	if (ring->head == 0)
		ring->phase ^= 1;
	/* The entry may be written again, and the next completion interrupts again. */
	card_write(card, RINGSIDE_COMPLETION_DOORBELL_OF(ring->number),
		   ring->head | RINGSIDE_DOORBELL_ARM);
	return RINGSIDE_COMPLETION_STATUS(*word);
}

/* Has the card do a command, which must end with the status code `expected`. */
static void execute(struct card *card, struct ring *ring, const char *wanted,
		    const struct ringside_command *command, uint32_t expected)
{
	uint32_t status;

	submit(card, ring, command);
	status = complete(card, ring, wanted);
	if (status != expected)
		fail(wanted, "the card answered status 0x%04x and not 0x%04x", status, expected);
}

/* Gives the card parameters and key of a session. */
static void create_session(struct card *card, struct ring *admin)
{
	struct ringside_session_block *block = &shared(card)->block;
	struct ringside_command command = {
		.opcode = RINGSIDE_OPCODE_SESSION_CREATE,
		.session = SESSION,
		.source = AT(block),
		.source_len = sizeof(*block),
	};

	*block = (struct ringside_session_block){
		.cipher = RINGSIDE_CIPHER_AES_CBC,
		.digest = RINGSIDE_DIGEST_NONE,
		.cipher_key_len = sizeof(KEY),
		.iv_len = sizeof(IV),
	};
	memcpy(block->cipher_key, KEY, sizeof(KEY));
	execute(card, admin, "a session", &command, RINGSIDE_STATUS_SUCCESS);
	/* The card has its own copy of the key now. */
	memset(block, 0, sizeof(*block));
}

/* Encrypts the text, which must end with the status code `expected`. */
static void encrypt(struct card *card, struct ring *data, uint32_t expected)
{
	struct ringside_command command = {
		.opcode = RINGSIDE_OPCODE_PROCESS,
		.flags = RINGSIDE_COMMAND_ENCRYPT,
		.session = SESSION,
		.source = AT(source),
		.source_len = TEXT_LEN,
		.destination = AT(destination),
		.destination_len = TEXT_LEN,
		.payload_len = TEXT_LEN,
	};

	memcpy(command.iv, IV, sizeof(IV));
	memcpy(shared(card)->source, PLAINTEXT, TEXT_LEN);
	memset(shared(card)->destination, 0, TEXT_LEN);
	execute(card, data, "an encryption", &command, expected);
}

static void compare(struct card *card)
{
	const uint8_t *found = shared(card)->destination;
	size_t i;

	for (i = 0; i < TEXT_LEN; i++)
		if (found[i] != CIPHERTEXT[i])
			fail("the right ciphertext", "byte %zu is %#04x and not %#04x", i,
			     found[i], CIPHERTEXT[i]);
}

static void destroy_session(struct card *card, struct ring *admin)
{
	struct ringside_command command = {
		.opcode = RINGSIDE_OPCODE_SESSION_DESTROY,
		.session = SESSION,
	};

	execute(card, admin, "the end of a session", &command, RINGSIDE_STATUS_SUCCESS);
}

int main(int argc, char **argv)
{
	struct card card = { .socket = -1 };
	struct ring admin, data;

	if (argc != 2) {
		fprintf(stderr, "usage: first_driver SOCKET\n");
		return 2;
	}
	/* What was reached is seen before what failed, wherever the two are written to. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	card_connect(&card, argv[1]);
	card_share_memory(&card);
	card_listen(&card);
	identify(&card);
	reset(&card);
	start_ring(&card, &admin, ADMIN);
	start_ring(&card, &data, DATA);
	card_write(&card, RINGSIDE_CONTROL_REG_CONTROL, RINGSIDE_CONTROL_ENABLED);
	printf("up: rings %u and %u run\n", ADMIN, DATA);

	create_session(&card, &admin);
	printf("session %u: AES-128-CBC\n", SESSION);
	encrypt(&card, &data, RINGSIDE_STATUS_SUCCESS);
	compare(&card);
	printf("encrypted: %u bytes, as published\n", TEXT_LEN);
	destroy_session(&card, &admin);
	encrypt(&card, &data, RINGSIDE_STATUS_BAD_SESSION);
	printf("session %u: gone\n", SESSION);
	reset(&card);
	printf("PASSED\n");
	return 0;
}
