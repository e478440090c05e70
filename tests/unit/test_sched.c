/* SPDX-License-Identifier: MIT */
/* The baton scheduler with real threads, sockets and loop, and a plain mutex for the
 * GIL: what it promises about concurrency, the keeper and the end. */
#include "unit/unit.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/resp.h"

static int create_and_look_on(pthread_t *id, const pthread_attr_t *attr,
                              void *(*fn)(void *), void *arg);
#define pthread_create create_and_look_on
#include "../../csrc/worker/sched.c"
#undef pthread_create
#include "../../csrc/worker/sched_async.c"
#include "../../csrc/worker/sched_keeper.c"
#include "../../csrc/worker/sched_watch.c"

enum { CLIENTS = 8 };

static pthread_mutex_t gil = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t gate_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t gate = PTHREAD_COND_INITIALIZER;
static int inside, most_inside, wanted;
static atomic_int started_threads, ended_threads;
static pthread_t main_thread;
static atomic_int elsewhere, at_home, main_runs;
static cw_event_t for_main;

/* Whoever makes a thread loses the processor until that one has run what was ready and
 * has parked; or for a moment, where it does not. */
static bool looks_on;

static int create_and_look_on(pthread_t *id, const pthread_attr_t *attr,
                              void *(*fn)(void *), void *arg) {
  int rc = pthread_create(id, attr, fn, arg);
  bool parked = fn != thread_main || arg == ((thread_t *)arg)->s->threads;
  for (int i = 0; rc == 0 && looks_on && !parked && i < 500; i++) {
    thread_t *t = arg;
    usleep(1000);
    pthread_mutex_lock(&t->s->lock);
    parked = t->s->parked == t;
    pthread_mutex_unlock(&t->s->lock);
  }
  return rc;
}

static void gil_take(void) {
  pthread_mutex_lock(&gil);
}
static void gil_give(void) {
  pthread_mutex_unlock(&gil);
}
static void on_start(int number) {
  atomic_fetch_add(&started_threads, 1);
}
static void on_end(void) {
  atomic_fetch_add(&ended_threads, 1);
}
static void main_run(void) {
  assert_true(pthread_equal(pthread_self(), main_thread));
  atomic_fetch_add(&main_runs, 1);
}
static void main_wait(void) {
  assert_true(pthread_equal(pthread_self(), main_thread));
  cw_event_wait(&for_main);
}
static void main_rouse(void) {
  cw_event_set(&for_main);
}
static const cw_runtime_t fake = {.thread_start = on_start,
                                  .thread_end = on_end,
                                  .acquire = gil_take,
                                  .release = gil_give,
                                  .main_run = main_run,
                                  .main_wait = main_wait,
                                  .main_rouse = main_rouse};

static void answer(cw_req_t *req) {
  size_t taken;
  if (cw_resp_start(req, "200 OK", 6) != 0 ||
      cw_resp_write(req, "ok", 2, true, &taken) != CW_OK)
    abort();
  cw_req_finish(req, true);
}

static void run_quick(void *data, cw_req_t *req) {
  bool home = pthread_equal(pthread_self(), main_thread);
  atomic_fetch_add(home ? &at_home : &elsewhere, 1);
  answer(req);
}

/* Blocks outside the GIL until `wanted` calls are in here at once. */
static void run_meeting(void *data, cw_req_t *req) {
  gil_give();
  pthread_mutex_lock(&gate_lock);
  inside++;
  most_inside = CW_MAX(most_inside, inside);
  pthread_cond_broadcast(&gate);
  while (most_inside < wanted) pthread_cond_wait(&gate, &gate_lock);
  inside--;
  pthread_mutex_unlock(&gate_lock);
  gil_take();
  answer(req);
}

typedef struct fixture {
  cw_sched_t *sched;
  cw_server_t *srv;
  cw_listener_t listener;
  struct sockaddr_in addr;
  cw_app_t app;
  int requests; /* of each client */
  pthread_t clients[CLIENTS];
  int n_clients;
  atomic_int answered;
} fixture_t;

static fixture_t *the_fixture;

static void set_up(fixture_t *f, int threads, void (*run)(void *, cw_req_t *)) {
  const cw_limits_t limits = {.head = 64 * 1024,
                              .request_line = 8190,
                              .field_size = 8190,
                              .fields = 100,
                              .buffer_body = 65536,
                              .idle = 60000,
                              .header = 30000,
                              .send = 30000};
  const char *reason;
  cw_host_t host;
  socklen_t len = sizeof(f->addr);
  memset(f, 0, sizeof(*f));
  the_fixture = f;
  main_thread = pthread_self();
  atomic_store(&elsewhere, 0);
  f->app.run = run;
  f->addr.sin_family = AF_INET;
  f->addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  f->listener.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  assert_int_equal(bind(f->listener.fd, (struct sockaddr *)&f->addr, sizeof(f->addr)),
                   0);
  getsockname(f->listener.fd, (struct sockaddr *)&f->addr, &len);
  f->sched = cw_sched_new(threads, &fake, &f->app);
  assert_non_null(f->sched);
  cw_sched_host(f->sched, &host);
  f->srv = cw_server_new(&cw_h1, &f->listener, 1, &limits, &host, &reason);
  assert_non_null(f->srv);
  cw_sched_set_server(f->sched, f->srv);
  assert_int_equal(cw_server_listen(f->srv, 128), 0);
}

/* One client: its requests one after the other on one connection. */
static void *client(void *arg) {
  static const char request[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  fixture_t *f = arg;
  char buf[4096];
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(fd, (struct sockaddr *)&f->addr, sizeof(f->addr)) != 0) abort();
  for (int i = 0; i < f->requests; i++) {
    size_t have = 0;
    if (send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) < 0) break;
    do {
      ssize_t n = recv(fd, buf + have, sizeof(buf) - 1 - have, 0);
      if (n <= 0) goto out;
      have += (size_t)n;
      buf[have] = '\0';
    } while (!strstr(buf, "\r\n\r\nok"));
    if (atomic_fetch_add(&f->answered, 1) + 1 == f->requests * f->n_clients)
      cw_sched_stop(f->sched, 5000);
  }
out:
  close(fd);
  return NULL;
}

static void serve(fixture_t *f, int clients, int requests) {
  cw_sched_stats_t stats;
  f->requests = requests;
  f->n_clients = clients;
  for (int i = 0; i < clients; i++)
    assert_int_equal(pthread_create(&f->clients[i], NULL, client, f), 0);
  cw_sched_run(f->sched);
  cw_sched_stats(f->sched, &stats);
  assert_int_equal(stats.in_app, 0);
  assert_int_equal(stats.ready, 0);
  cw_server_free(f->srv);
  for (int i = 0; i < clients; i++) pthread_join(f->clients[i], NULL);
  cw_sched_free(f->sched);
  assert_int_equal(atomic_load(&f->answered), clients * requests);
  assert_int_equal(atomic_load(&started_threads), atomic_load(&ended_threads));
  assert_int_equal(pthread_mutex_trylock(&gil), 0); /* given back */
  pthread_mutex_unlock(&gil);
}

static void quick_calls_are_all_answered(void **state) {
  fixture_t f;
  atomic_store(&at_home, 0);
  set_up(&f, 8, run_quick);
  serve(&f, CLIENTS, 2000);
  /* The main thread is for signals. */
  assert_int_equal(atomic_load(&at_home), 0);
}

/* Calls of the app's signal handlers, while requests run and while none does. */
static void *ring(void *arg) {
  fixture_t *f = arg;
  while (atomic_load(&f->answered) < 1000) {
    main_rouse();
    usleep(100); /* the cores are for the others */
  }
  return NULL;
}

static void the_main_thread_does_what_is_its_own(void **state) {
  fixture_t f;
  pthread_t ringer;
  atomic_store(&main_runs, 0);
  set_up(&f, 4, run_quick);
  assert_int_equal(pthread_create(&ringer, NULL, ring, &f), 0);
  serve(&f, CLIENTS, 500);
  pthread_join(ringer, NULL);
  assert_true(atomic_load(&main_runs) > 1);
}

static void call_main(void *data) {
  fixture_t *f = data;
  cw_sched_call_main(f->sched);
  cw_server_timer(f->srv, CW_HOST_BEAT, 5, call_main, f);
}

/* With one thread it is called from the loop, busy and idle. */
static void one_thread_does_both(void **state) {
  fixture_t f;
  atomic_store(&main_runs, 0);
  set_up(&f, 1, run_quick);
  cw_server_timer(f.srv, CW_HOST_BEAT, 0, call_main, &f);
  serve(&f, CLIENTS, 2000);
  assert_true(atomic_load(&main_runs) > 0);
}

static void one_thread_means_the_main_thread(void **state) {
  fixture_t f;
  atomic_store(&elsewhere, 0);
  set_up(&f, 1, run_quick);
  serve(&f, CLIENTS, 1000);
  assert_int_equal(atomic_load(&elsewhere), 0);
}

static void blocking_calls_meet(void **state) {
  fixture_t f;
  for (int round = 0; round < 20; round++) {
    inside = most_inside = 0;
    wanted = CLIENTS;
    set_up(&f, CLIENTS, run_meeting);
    serve(&f, CLIENTS, 1); /* ends only if all eight were in the app at once */
    assert_int_equal(most_inside, CLIENTS);
  }
}

/* Computes for much longer than a tick. */
static void run_busy(void *data, cw_req_t *req) {
  int64_t end = cw_now_us() + 20 * 1000;
  while (cw_now_us() < end) {
  }
  answer(req);
}

/* The keeper makes a thread for what is ready, which has done it before the keeper goes
 * on: somebody must still turn the loop. */
static void a_thread_may_be_done_before_its_maker_goes_on(void **state) {
  fixture_t f;
  looks_on = true;
  set_up(&f, 4, run_busy);
  serve(&f, 2, 4);
  looks_on = false;
}

/* ---- beside other workers --------------------------------------------------- */

static atomic_int others_free, asked, cleared, is_full;
static unsigned connections_then;

static void on_full(void *data, bool full) {
  atomic_store(&is_full, full);
  if (!full) {
    assert_true(pthread_equal(pthread_self(), main_thread));
    atomic_fetch_add(&cleared, 1);
  }
}

static bool others(void *data) {
  atomic_fetch_add(&asked, 1);
  return atomic_load(&others_free);
}

static void await_more(atomic_int *count, int than) {
  while (atomic_load(count) <= than) usleep(100);
}

/* The first call: this worker is seen as full, as the others are. Then one of them has
 * room, and a client comes. */
static void run_full(void *data, cw_req_t *req) {
  static pthread_t second;
  fixture_t *f = the_fixture;
  if (connections_then == 0) {
    gil_give();
    await_more(&is_full, 0);
    await_more(&asked, 0);
    atomic_store(&others_free, 1);
    assert_int_equal(pthread_create(&second, NULL, client, f), 0);
    f->clients[1] = second;
    int before = atomic_load(&asked);
    await_more(&asked, before + 2);
    connections_then = cw_server_connections(f->srv);
    gil_take();
    assert_int_equal(atomic_load(&cleared), 0);
  } else {
    /* Nobody waited for the look that is taken every 20 ms. */
    assert_int_equal(atomic_load(&cleared), 1);
  }
  answer(req);
}

static void a_full_worker_leaves_clients_to_others(void **state) {
  fixture_t f;
  set_up(&f, 1, run_full);
  connections_then = 0;
  f.n_clients = 2;
  f.requests = 1;
  cw_sched_set_watch(f.sched, &(cw_sched_watch_t){.full = on_full, .others = others});
  assert_int_equal(pthread_create(&f.clients[0], NULL, client, &f), 0);
  cw_sched_run(f.sched);
  cw_server_free(f.srv);
  for (int i = 0; i < 2; i++) pthread_join(f.clients[i], NULL);
  cw_sched_free(f.sched);
  assert_int_equal(connections_then, 1);
  assert_int_equal(atomic_load(&f.answered), 2);
}

/* Two clients whose requests are ready in the same turn. */
enum { PAIR = 2 };
static int pair[PAIR], n_run, n_arrived;

/* How many of them have an answer. */
static int count_answers(void) {
  char byte;
  int n = 0;
  for (int i = 0; i < PAIR; i++)
    n += recv(pair[i], &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
  return n;
}

/* The first call goes on, by small steps, until a turn is due; the second looks whether
 * there was one. */
static void run_steps(void *data, cw_req_t *req) {
  cw_sched_t *s = the_fixture->sched;
  if (n_run++ == 0) {
    answer(req);
    bool kept = false; /* it was slow all the same: the keeper turns the loop */
    while (!cw_sched_turn_is_due(s) && !kept) {
      pthread_mutex_lock(&s->lock);
      s->progress++; /* the keeper sees that nothing blocks */
      kept = s->baton;
      pthread_mutex_unlock(&s->lock);
    }
    while (kept && count_answers() == 0) usleep(100);
  } else {
    n_arrived = count_answers();
    answer(req);
    cw_sched_stop(s, 5000);
  }
}

static void many_short_calls_do_not_hold_the_loop_up(void **state) {
  fixture_t f;
  n_run = n_arrived = 0;
  set_up(&f, 1, run_steps);
  for (int i = 0; i < PAIR; i++) {
    static const char request[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    pair[i] = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(pair[i], (struct sockaddr *)&f.addr, sizeof(f.addr)), 0);
    assert_true(send(pair[i], request, sizeof(request) - 1, MSG_NOSIGNAL) > 0);
  }
  serve(&f, 0, 0);
  for (int i = 0; i < PAIR; i++) close(pair[i]);
  assert_int_equal(n_run, PAIR);
  assert_int_equal(n_arrived, 1);
}

static void the_end_comes_without_any_request(void **state) {
  fixture_t f;
  set_up(&f, 4, run_quick);
  cw_sched_stop(f.sched, 1000);
  cw_sched_run(f.sched);
  cw_server_free(f.srv);
  cw_sched_free(f.sched);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(quick_calls_are_all_answered),
      cmocka_unit_test(the_main_thread_does_what_is_its_own),
      cmocka_unit_test(one_thread_means_the_main_thread),
      cmocka_unit_test(one_thread_does_both),
      cmocka_unit_test(blocking_calls_meet),
      cmocka_unit_test(a_thread_may_be_done_before_its_maker_goes_on),
      cmocka_unit_test(a_full_worker_leaves_clients_to_others),
      cmocka_unit_test(many_short_calls_do_not_hold_the_loop_up),
      cmocka_unit_test(the_end_comes_without_any_request),
  };
  alarm(120); /* a lost wake-up must not hang the suite */
  return cmocka_run_group_tests(tests, NULL, NULL);
}
