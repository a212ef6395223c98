/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The vfio-user protocol, as much of it as one card and one thread need. Its text is
 * docs/interop/vfio-user.rst of QEMU; structures and numbers are those of the kernel's VFIO.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/vfio.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "ringside_card.h"
#include "vfio_user.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "structures are copied as they are: this needs a little-endian machine"
#endif

enum command {
	VERSION = 1,
	DMA_MAP = 2,
	GET_REGION_INFO = 5,
	GET_IRQ_INFO = 7,
	SET_IRQS = 8,
	REGION_READ = 9,
	REGION_WRITE = 10,
};

#define TYPE_MASK 0xfu
#define TYPE_REPLY 1u
#define IS_ERROR (1u << 5)

struct header {
	uint16_t id;
	uint16_t command;
	uint32_t size; /* of the message with this header */
	uint32_t flags;
	uint32_t error;
};

struct dma_map {
	uint32_t argsz;
	uint32_t flags;
	uint64_t offset;
	uint64_t address;
	uint64_t size;
};

struct region_access {
	uint64_t offset;
	uint32_t region;
	uint32_t count;
	uint8_t data[4];
};

#define ACCESS_HEAD offsetof(struct region_access, data)

_Noreturn void fail(const char *wanted, const char *why, ...)
{
	va_list arguments;

	va_start(arguments, why);
	fprintf(stderr, "FAILED  %s: ", wanted);
	vfprintf(stderr, why, arguments);
	fprintf(stderr, "\n");
	va_end(arguments);
	exit(1);
}

/* Reads exactly `len` bytes. */
static void receive(struct card *card, const char *wanted, void *data, size_t len)
{
	unsigned char *bytes = data;
	ssize_t count;

	while (len > 0) {
		count = recv(card->socket, bytes, len, 0);
		if (count == 0)
			fail(wanted, "the server closed the socket");
		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0 && errno == EAGAIN)
			fail(wanted, "the server does not answer");
		if (count < 0)
			fail(wanted, "%s", strerror(errno));
		bytes += count;
		len -= (size_t)count;
	}
}

/* What is asked of the server, and what room there is for its answer. */
struct question {
	const char *wanted; /* in words */
	enum command command;
	const void *data; /* what follows the header */
	size_t len;
	const int *fds; /* at most two descriptors that go along */
	size_t fd_count;
	void *answer; /* what follows the header of the answer */
	size_t least, most; /* bytes of it */
};

static void send_question(struct card *card, const struct question *question, uint16_t id)
{
	struct header header = {
		.id = id,
		.command = (uint16_t)question->command,
		.size = (uint32_t)(sizeof(header) + question->len),
	};
	struct iovec parts[] = {
		{ .iov_base = &header, .iov_len = sizeof(header) },
		{ .iov_base = (void *)question->data, .iov_len = question->len },
	};
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
	size_t fds_len = question->fd_count * sizeof(int);
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(2 * sizeof(int))];
	} control = { .room = { 0 } };
	ssize_t count;

	if (fds_len > 0) {
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(fds_len);
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(fds_len);
		memcpy(CMSG_DATA(&control.head), question->fds, fds_len);
	}
	count = sendmsg(card->socket, &message, MSG_NOSIGNAL);
	if (count < 0)
		fail(question->wanted, "%s", strerror(errno));
	if ((size_t)count != header.size)
		fail(question->wanted, "the server takes no more messages");
}

/* Asks, and waits for the answer. Returns how many bytes follow its header. */
static size_t ask(struct card *card, const struct question *question)
{
	const char *wanted = question->wanted;
	uint16_t id = card->next_id++;
	struct header header;
	size_t len;

	send_question(card, question, id);
	receive(card, wanted, &header, sizeof(header));
	/* All memory is a file, so there is nothing that the server has to ask for. */
	if (header.id != id || (header.flags & TYPE_MASK) != TYPE_REPLY)
		fail(wanted, "what the server sent is no answer");
	if (header.flags & IS_ERROR)
		fail(wanted, "the server refused: %s", strerror((int)header.error));
	if (header.size < sizeof(header))
		fail(wanted, "a message of %u bytes", header.size);
	len = header.size - sizeof(header);
	if (len < question->least || len > question->most)
		fail(wanted, "an answer of %zu bytes", len);
	receive(card, wanted, question->answer, len);
	return len;
}

static void agree(struct card *card)
{
	struct {
		uint16_t major;
		uint16_t minor;
		char text[sizeof("{\"capabilities\":{}}")];
	} mine = { .minor = 1, .text = "{\"capabilities\":{}}" };
	struct {
		uint16_t major;
		uint16_t minor;
		char text[1024];
	} theirs;

	ask(card, &(struct question){
		.wanted = "a version of the protocol",
		.command = VERSION,
		.data = &mine,
		.len = sizeof(mine),
		.answer = &theirs,
		.least = 4,
		.most = sizeof(theirs),
	});
	if (theirs.major != 0)
		fail("a version of the protocol", "the server speaks %u.%u, this is 0.1",
		     theirs.major, theirs.minor);
}

/* The card's registers are BAR 0: is it there, and is it all of it? */
static void check_region(struct card *card)
{
	struct vfio_region_info info = {
		.argsz = sizeof(info),
		.index = VFIO_PCI_BAR0_REGION_INDEX,
	};
	uint32_t wanted = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;

	ask(card, &(struct question){
		.wanted = "BAR 0",
		.command = GET_REGION_INFO,
		.data = &info,
		.len = sizeof(info),
		.answer = &info,
		.least = sizeof(info),
		.most = sizeof(info),
	});
	if (info.size < RINGSIDE_BAR0_LEN || (info.flags & wanted) != wanted)
		fail("BAR 0", "it has %llu bytes and flags %#x", info.size, info.flags);
}

void card_connect(struct card *card, const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct timeval patience = { .tv_sec = PATIENCE_MS / 1000 };

	if (strlen(path) >= sizeof(address.sun_path))
		fail("the server", "%s: a path of a socket is shorter", path);
	strcpy(address.sun_path, path);
	card->socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (card->socket < 0)
		fail("a socket", "%s", strerror(errno));
	/* Nothing is waited for without an end: every receive gives up. */
	if (setsockopt(card->socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0)
		fail("a socket", "%s", strerror(errno));
	if (connect(card->socket, (struct sockaddr *)&address, sizeof(address)) < 0)
		fail("the server", "%s: %s", path, strerror(errno));
	agree(card);
	check_region(card);
}

void card_share_memory(struct card *card)
{
	const char *wanted = "memory for the card";
	struct dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.address = MEMORY_AT,
		.size = MEMORY_BYTES,
	};
	int file = memfd_create("card", MFD_CLOEXEC);

	if (file < 0 || ftruncate(file, MEMORY_BYTES) < 0)
		fail(wanted, "%s", strerror(errno));
	card->memory = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	if (card->memory == MAP_FAILED)
		fail(wanted, "%s", strerror(errno));
	ask(card, &(struct question){
		.wanted = wanted,
		.command = DMA_MAP,
		.data = &map,
		.len = sizeof(map),
		.fds = &file,
		.fd_count = 1,
	});
	close(file);
}

void card_listen(struct card *card)
{
	const char *wanted = "two interrupt vectors";
	struct vfio_irq_info info = {
		.argsz = sizeof(info),
		.index = VFIO_PCI_MSIX_IRQ_INDEX,
	};
	struct vfio_irq_set set = {
		.argsz = sizeof(set),
		.flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
		.index = VFIO_PCI_MSIX_IRQ_INDEX,
		.count = 2,
	};
	int vector;

	ask(card, &(struct question){
		.wanted = wanted,
		.command = GET_IRQ_INFO,
		.data = &info,
		.len = sizeof(info),
		.answer = &info,
		.least = sizeof(info),
		.most = sizeof(info),
	});
	if (info.count < 2)
		fail(wanted, "the card has %u", info.count);
	for (vector = 0; vector < 2; vector++) {
		card->events[vector] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (card->events[vector] < 0)
			fail(wanted, "%s", strerror(errno));
	}
	ask(card, &(struct question){
		.wanted = wanted,
		.command = SET_IRQS,
		.data = &set,
		.len = sizeof(set),
		.fds = card->events,
		.fd_count = 2,
	});
}

int card_wait(struct card *card, int vector)
{
	struct pollfd polled = { .fd = card->events[vector], .events = POLLIN };
	uint64_t count;
	int ready;

	do
		ready = poll(&polled, 1, PATIENCE_MS);
	while (ready < 0 && errno == EINTR);
	/* Reading sets the count back to zero, so that the next interrupt is seen. */
	return ready == 1 && read(card->events[vector], &count, sizeof(count)) == sizeof(count);
}

/* Reads `count` bytes at `offset` of a region. */
static uint32_t region_read(struct card *card, uint32_t region, uint32_t offset, uint32_t count)
{
	struct region_access access = { .offset = offset, .region = region, .count = count };
	uint32_t value = 0;

	ask(card, &(struct question){
		.wanted = "a register",
		.command = REGION_READ,
		.data = &access,
		.len = ACCESS_HEAD,
		.answer = &access,
		.least = ACCESS_HEAD + count,
		.most = ACCESS_HEAD + count,
	});
	memcpy(&value, access.data, count);
	return value;
}

/* Writes `count` bytes at `offset` of a region, and waits until the card has them. */
static void region_write(struct card *card, uint32_t region, uint32_t offset, uint32_t count,
			 uint32_t value)
{
	struct region_access access = { .offset = offset, .region = region, .count = count };

	memcpy(access.data, &value, count);
	ask(card, &(struct question){
		.wanted = "a register",
		.command = REGION_WRITE,
		.data = &access,
		.len = ACCESS_HEAD + count,
		.answer = &access,
		.least = ACCESS_HEAD,
		.most = ACCESS_HEAD,
	});
}

uint32_t card_read(struct card *card, uint32_t offset)
{
	return region_read(card, VFIO_PCI_BAR0_REGION_INDEX, offset, 4);
}

void card_write(struct card *card, uint32_t offset, uint32_t value)
{
	region_write(card, VFIO_PCI_BAR0_REGION_INDEX, offset, 4, value);
}

uint16_t card_read_config(struct card *card, uint32_t offset)
{
	return (uint16_t)region_read(card, VFIO_PCI_CONFIG_REGION_INDEX, offset, 2);
}

void card_write_config(struct card *card, uint32_t offset, uint16_t value)
{
	region_write(card, VFIO_PCI_CONFIG_REGION_INDEX, offset, 2, value);
}
