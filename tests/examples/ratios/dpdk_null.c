/*
 * Rounds of DPDK's crypto_null driver, for peer.rs.
 *
 * Reads lines "kept 32 60000000": where requests come from, how many in a burst, nanoseconds of a
 * round. Answers each by what a request of 64 bytes took, in nanoseconds of the processor. "kept"
 * sends the same filled-in requests again and again; "pool" takes them from a pool, fills them in
 * and puts them back, as DPDK's own tool for measuring does. Ends with its input.
 */
#define _GNU_SOURCE
#define ALLOW_EXPERIMENTAL_API
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <rte_config.h>
/* Spares the headers of libbsd: DPDK has functions of its own for those. */
#undef RTE_USE_LIBBSD
#include <rte_cryptodev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_mbuf.h>

#define BURST_MAX 32
#define PAYLOAD_BYTES 64
/* Bursts between two looks at the clock. */
#define BURSTS_PER_LOOK 64
#define CARD 0
#define QUEUE 0

static void *session;
static struct rte_mempool *requests;
static struct rte_mbuf *payloads[BURST_MAX];
static struct rte_crypto_op *kept[BURST_MAX];

static void fail(const char *what)
{
	fprintf(stderr, "error: %s: %s\n", what, rte_strerror(rte_errno));
	exit(1);
}

static uint64_t now_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void fill_in(struct rte_crypto_op *request, struct rte_mbuf *payload)
{
	request->status = RTE_CRYPTO_OP_STATUS_NOT_PROCESSED;
	rte_crypto_op_attach_sym_session(request, session);
	request->sym->m_src = payload;
	request->sym->m_dst = NULL;
	request->sym->cipher.data.offset = 0;
	request->sym->cipher.data.length = PAYLOAD_BYTES;
}

static void start_driver(void)
{
	char core[32];
	char *arguments[] = {
		"dpdk_null", "--no-huge", "--no-pci", "--no-shconf", "--no-telemetry", "-m", "64",
		"--file-prefix", "ringside", "--vdev", "crypto_null0", "--lcores", core, NULL
	};
	int count = sizeof(arguments) / sizeof(arguments[0]) - 1;
	cpu_set_t cores;

	/* DPDK would stay on one core, however busy; what it is measured beside does not. */
	snprintf(core, sizeof(core), "0@%d", sched_getcpu());
	if (sched_getaffinity(0, sizeof(cores), &cores) != 0)
		fail("cannot read the cores of this process");
	if (rte_eal_init(count, arguments) < 0)
		fail("rte_eal_init");
	if (sched_setaffinity(0, sizeof(cores), &cores) != 0)
		fail("cannot go back to the cores of this process");
}

static void open_session(void)
{
	struct rte_cryptodev_config config = { .nb_queue_pairs = 1, .socket_id = SOCKET_ID_ANY };
	struct rte_cryptodev_qp_conf queue = { .nb_descriptors = 2048 };
	struct rte_crypto_sym_xform cipher = {
		.type = RTE_CRYPTO_SYM_XFORM_CIPHER,
		.cipher = { .op = RTE_CRYPTO_CIPHER_OP_ENCRYPT, .algo = RTE_CRYPTO_CIPHER_NULL },
	};

	queue.mp_session = rte_cryptodev_sym_session_pool_create(
		"sessions", 1, rte_cryptodev_sym_get_private_session_size(CARD), 0, 0,
		SOCKET_ID_ANY);
	if (queue.mp_session == NULL)
		fail("no pool of sessions");
	if (rte_cryptodev_configure(CARD, &config) < 0 ||
	    rte_cryptodev_queue_pair_setup(CARD, QUEUE, &queue, SOCKET_ID_ANY) < 0 ||
	    rte_cryptodev_start(CARD) < 0)
		fail("cannot start crypto_null");
	session = rte_cryptodev_sym_session_create(CARD, &cipher, queue.mp_session);
	if (session == NULL)
		fail("no session");
}

static void take_requests(void)
{
	struct rte_mempool *buffers;
	int i;

	buffers = rte_pktmbuf_pool_create("payloads", BURST_MAX, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
					  SOCKET_ID_ANY);
	/* Sized like those of DPDK's own tool. */
	requests = rte_crypto_op_pool_create("requests", RTE_CRYPTO_OP_TYPE_SYMMETRIC, 8191, 512,
					     16, SOCKET_ID_ANY);
	if (buffers == NULL || requests == NULL)
		fail("no pool of requests");
	if (!rte_crypto_op_bulk_alloc(requests, RTE_CRYPTO_OP_TYPE_SYMMETRIC, kept, BURST_MAX))
		fail("no requests");
	for (i = 0; i < BURST_MAX; i++) {
		payloads[i] = rte_pktmbuf_alloc(buffers);
		if (payloads[i] == NULL || rte_pktmbuf_append(payloads[i], PAYLOAD_BYTES) == NULL)
			fail("no payload");
		fill_in(kept[i], payloads[i]);
	}
}

/* Sends a burst and waits for all of it. */
static inline void send_and_receive(struct rte_crypto_op **sent, uint16_t burst,
				    struct rte_crypto_op **received)
{
	uint16_t count, i;

	for (count = 0; count < burst;)
		count += rte_cryptodev_enqueue_burst(CARD, QUEUE, sent + count, burst - count);
	for (count = 0; count < burst;)
		count += rte_cryptodev_dequeue_burst(CARD, QUEUE, received + count, burst - count);
	for (i = 0; i < burst; i++)
		if (received[i]->status != RTE_CRYPTO_OP_STATUS_SUCCESS)
			fail("a request ended badly");
}

static inline void burst_from_pool(uint16_t burst)
{
	struct rte_crypto_op *sent[BURST_MAX], *received[BURST_MAX];
	uint16_t i;

	if (rte_mempool_get_bulk(requests, (void **)sent, burst) != 0)
		fail("the pool is empty");
	for (i = 0; i < burst; i++)
		fill_in(sent[i], payloads[i]);
	send_and_receive(sent, burst, received);
	rte_mempool_put_bulk(requests, (void **)received, burst);
}

/* One round by the clock on the wall; returns nanoseconds of the processor for a request. */
static double measure(bool from_pool, uint16_t burst, uint64_t round_ns)
{
	struct rte_crypto_op *received[BURST_MAX];
	uint64_t start = now_ns(CLOCK_MONOTONIC), before = now_ns(CLOCK_THREAD_CPUTIME_ID);
	uint64_t count = 0;
	int i;

	do {
		for (i = 0; i < BURSTS_PER_LOOK; i++) {
			if (from_pool)
				burst_from_pool(burst);
			else
				send_and_receive(kept, burst, received);
		}
		count += (uint64_t)BURSTS_PER_LOOK * burst;
	} while (now_ns(CLOCK_MONOTONIC) - start < round_ns);
	return (double)(now_ns(CLOCK_THREAD_CPUTIME_ID) - before) / (double)count;
}

int main(void)
{
	char source[8];
	unsigned int burst;
	uint64_t round_ns;

	start_driver();
	open_session();
	take_requests();
	while (scanf("%7s %u %" SCNu64, source, &burst, &round_ns) == 3) {
		if (burst < 1 || burst > BURST_MAX)
			fail("no such burst");
		printf("%.3f\n", measure(strcmp(source, "pool") == 0, (uint16_t)burst, round_ns));
		fflush(stdout);
	}
	return 0;
}
