/* SPDX-License-Identifier: MIT */
/* --timeout: whom the supervisor takes for stuck. Processes are made up. */
#include "unit/unit.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "supervisor/watch.h"

enum { PID = 1000, TIMEOUT = 1000, PERIOD = TIMEOUT / 4, BEGIN = 5000 /* ms */ };

static int sent; /* the last signal */

/* In the place of libc's. */
int kill(pid_t pid, int sig) {
  assert_int_equal(pid, PID);
  sent = sig;
  return 0;
}

static state_t st;
static generation_t gen;
static worker_t *const w = &st.workers[0];
static cw_slot_t *slot;
static int words[2];

static int set_up(void **state) {
  char err[128];
  assert_int_equal(cw_log_open("/dev/null", err, sizeof(err)), 0);
  assert_int_equal(pipe2(words, O_CLOEXEC | O_NONBLOCK), 0);
  gen = (generation_t){.users = 100, .h_fd = -1, .zygote.fd = -1, .proven = true};
  assert_int_equal(cw_settings_init(&gen.settings), 0);
  gen.settings.v[CW_OPT_TIMEOUT].num = TIMEOUT;
  st = (state_t){.gen = &gen, .want = 1, .published.watch_ms = BEGIN};
  st.board = mmap(NULL, sizeof(cw_board_t), PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  assert_ptr_not_equal(st.board, MAP_FAILED);
  slot = &st.board->slots[0];
  *w = (worker_t){.gen = &gen,
                  .pid = PID,
                  .ready = true,
                  .words = words[1],
                  .watch_started = BEGIN,
                  .beat = BEGIN};
  sent = 0;
  return 0;
}

static int tear_down(void **state) {
  close(words[0]);
  close(words[1]);
  cw_settings_fini(&gen.settings);
  munmap(st.board, sizeof(cw_board_t));
  return 0;
}

/* A tick, `ms` after the one before it. */
static void tick(int ms) {
  st.watch.last = cw_now_us() - ms * INT64_C(1000);
  st.watch.at = 1;
  assert_int_equal(cw_watch(&st), PERIOD * 1000);
}

static void pass(int ms) {
  for (; ms > 0; ms -= PERIOD) tick(PERIOD);
}

static void who_is_silent_is_aborted(void **state) {
  pass(TIMEOUT);
  assert_int_equal(sent, 0);
  pass(2 * PERIOD); /* it tells as seldom as we look */
  assert_int_equal(sent, SIGABRT);
  assert_true(w->stuck && w->leaving && w->told);
  assert_true(w->deadline > cw_now_us());
}

static void who_gives_signs_of_life_is_not(void **state) {
  for (int i = 0; i < 20; i++) {
    atomic_store(&slot->beat, st.published.watch_ms);
    tick(PERIOD);
  }
  assert_int_equal(sent, 0);
}

/* The container's processor was taken away: nobody could do anything. */
static void a_pause_of_ours_is_nobodys_fault(void **state) {
  tick(1000 * 1000);
  assert_true(st.published.watch_ms <= BEGIN + 2 * PERIOD);
  assert_int_equal(sent, 0);
}

static void signs_from_the_future_are_none(void **state) {
  atomic_store(&slot->beat, INT64_MAX);
  pass(TIMEOUT + 2 * PERIOD);
  assert_int_equal(sent, SIGABRT);
}

/* One request is late: the worker says so, and goes when there is another one. */
static void who_has_a_late_request_is_replaced(void **state) {
  char word = 0;
  atomic_store(&slot->oldest, BEGIN);
  for (int i = 0; i < TIMEOUT / PERIOD + 2; i++) {
    atomic_store(&slot->beat, st.published.watch_ms);
    tick(PERIOD);
  }
  assert_int_equal(sent, 0);
  assert_true(w->stuck && w->leaving && !w->told);
  assert_int_equal(read(words[0], &word, 1), 1);
  assert_int_equal(word, CW_WORD_LATE);
  assert_int_equal(read(words[0], &word, 1), -1); /* once */
}

static void requests_from_before_its_start_are_none(void **state) {
  atomic_store(&slot->oldest, 1);
  for (int i = 0; i < 20; i++) {
    atomic_store(&slot->beat, st.published.watch_ms);
    tick(PERIOD);
  }
  assert_false(w->stuck);
}

static void nobody_watches_without_a_reason(void **state) {
  gen.settings.v[CW_OPT_TIMEOUT].num = 0;
  assert_int_equal(cw_watch(&st), -1);
  gen.settings.v[CW_OPT_TIMEOUT].num = TIMEOUT;
  st.stopping = true;
  assert_int_equal(cw_watch(&st), -1);
}

/* It holds more than that, whatever it is: it is this process. */
static void who_has_grown_is_replaced(void **state) {
  gen.settings.v[CW_OPT_TIMEOUT].num = 0;
  gen.settings.v[CW_OPT_MAX_MEMORY].num = 1 << 20;
  w->pid = getpid();
  st.watch.at = 0;
  assert_true(cw_watch(&st) > 0);
  assert_true(w->leaving);
  assert_false(w->told);
  assert_int_equal(sent, 0);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(who_is_silent_is_aborted),
      TEST(who_gives_signs_of_life_is_not),
      TEST(a_pause_of_ours_is_nobodys_fault),
      TEST(signs_from_the_future_are_none),
      TEST(who_has_a_late_request_is_replaced),
      TEST(requests_from_before_its_start_are_none),
      TEST(nobody_watches_without_a_reason),
      TEST(who_has_grown_is_replaced),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
