/* SPDX-License-Identifier: MIT */
/* Which workers the supervisor starts and lets go: what is wanted against what there
 * is. Processes are made up: fork and kill are noted here. */
#include "unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/exit_codes.h"
#include "supervisor/words.h"
#include "supervisor/workers.h"

enum { FIRST = 1000, MOST = 64 };

static int forked, told[MOST], killed[MOST];
static bool no_process; /* fork fails */

pid_t fork(void) {
  if (no_process) {
    errno = EAGAIN;
    return -1;
  }
  assert_true(forked < MOST);
  return FIRST + forked++;
}

int kill(pid_t pid, int sig) {
  assert_in_range(pid, FIRST, FIRST + forked - 1);
  told[pid - FIRST] += sig == SIGTERM;
  killed[pid - FIRST] += sig == SIGKILL;
  return 0;
}

static state_t st;
static generation_t old, new;
static cw_launcher_t launcher;

static void make_generation(generation_t *gen, bool proven) {
  /* Its heritage is shared already: nothing is made of it here. */
  *gen = (generation_t){.users = 100, .h_fd = 0, .zygote.fd = -1, .proven = proven};
  assert_int_equal(cw_settings_init(&gen->settings), 0);
}

static int set_up(void **state) {
  char err[128];
  signal(SIGPIPE, SIG_IGN); /* as in the supervisor */
  forked = 0;
  no_process = false;
  memset(told, 0, sizeof(told));
  memset(killed, 0, sizeof(killed));
  assert_int_equal(cw_log_open("/dev/null", err, sizeof(err)), 0);
  make_generation(&old, true);
  make_generation(&new, false);
  st = (state_t){.launcher = &launcher, .gen = &old, .serving = true, .hooks.fd = -1};
  st.board = mmap(NULL, sizeof(cw_board_t), PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  assert_ptr_not_equal(st.board, MAP_FAILED);
  return pipe2(st.notify, O_CLOEXEC | O_NONBLOCK);
}

static int tear_down(void **state) {
  for (int i = 0; i < CW_MAX_WORKERS; i++)
    if (st.workers[i].words) close(st.workers[i].words);
  close(st.notify[0]);
  close(st.notify[1]);
  cw_settings_fini(&old.settings);
  cw_settings_fini(&new.settings);
  munmap(st.board, sizeof(cw_board_t));
  return 0;
}

static worker_t *by_number(int n) {
  for (int i = 0; i < CW_MAX_WORKERS; i++)
    if (st.workers[i].pid == FIRST + n) return &st.workers[i];
  fail_msg("no worker %d", n);
  return NULL;
}

static void be_ready(int n) {
  by_number(n)->ready = true;
}

static void end(int n) {
  cw_worker_forget(by_number(n));
}

static int told_so_far(void) {
  int n = 0;
  for (int i = 0; i < MOST; i++) n += told[i];
  return n;
}

static void as_many_as_wanted_are_started(void **state) {
  st.want = 3;
  assert_int_equal(cw_workers_reconcile(&st), -1);
  assert_int_equal(forked, 3);
  /* Once is enough. */
  assert_int_equal(cw_workers_reconcile(&st), -1);
  assert_int_equal(forked, 3);
}

static void a_worker_finds_the_watch_running(void **state) {
  st.want = 1;
  (void)cw_workers_reconcile(&st);
  /* It may serve before the supervisor comes to its clock; 0 would say to it that
   * nobody watches. */
  assert_true(atomic_load(&st.board->watch_ms) > 0);
  assert_true(by_number(0)->watch_started <= atomic_load(&st.board->watch_ms));
}

static void the_first_of_an_unproven_generation_goes_ahead_alone(void **state) {
  st.want = 3;
  st.gen = &new;
  (void)cw_workers_reconcile(&st);
  assert_int_equal(forked, 1);
  new.proven = true;
  be_ready(0);
  (void)cw_workers_reconcile(&st);
  assert_int_equal(forked, 3);
}

static void the_oldest_is_told_to_go_where_fewer_are_wanted(void **state) {
  st.want = 3;
  (void)cw_workers_reconcile(&st);
  st.want = 1;
  (void)cw_workers_reconcile(&st);
  assert_int_equal(told[0], 1);
  assert_int_equal(told[1], 1);
  assert_int_equal(told[2], 0);
  /* Once. */
  (void)cw_workers_reconcile(&st);
  assert_int_equal(told_so_far(), 2);
}

/* A reload with two workers: never fewer than two serve, never more than one beyond. */
static void old_ones_go_as_new_ones_are_ready(void **state) {
  st.want = 2;
  (void)cw_workers_reconcile(&st);
  be_ready(0);
  be_ready(1);
  st.gen = &new;
  st.fallback = &old;
  (void)cw_workers_reconcile(&st);
  assert_int_equal(forked, 3);
  assert_int_equal(told_so_far(), 0);
  be_ready(2);
  new.proven = true;
  (void)cw_workers_reconcile(&st);
  assert_int_equal(told_so_far(), 1);
  assert_int_equal(told[0], 1);
  assert_int_equal(forked, 4);
  (void)cw_workers_reconcile(&st);
  assert_int_equal(told_so_far(), 1);
  be_ready(3);
  (void)cw_workers_reconcile(&st);
  assert_int_equal(told[1], 1);
  assert_int_equal(forked, 4);
}

/* An unproven generation takes no old worker with it, however long it takes. */
static void old_ones_stay_until_the_new_generation_is_proven(void **state) {
  st.want = 2;
  (void)cw_workers_reconcile(&st);
  be_ready(0);
  be_ready(1);
  st.gen = &new;
  (void)cw_workers_reconcile(&st);
  end(2);
  (void)cw_workers_reconcile(&st);
  assert_int_equal(forked, 4);
  assert_int_equal(told_so_far(), 0);
}

static void a_leaver_goes_when_its_successor_is_ready(void **state) {
  st.want = 1;
  (void)cw_workers_reconcile(&st);
  be_ready(0);
  by_number(0)->leaving = true; /* --max-requests */
  (void)cw_workers_reconcile(&st);
  assert_int_equal(forked, 2);
  assert_int_equal(told[0], 0);
  be_ready(1);
  (void)cw_workers_reconcile(&st);
  assert_int_equal(told[0], 1);
  assert_int_equal(forked, 2);
}

static void nobody_is_left_where_none_is_wanted(void **state) {
  st.want = 2;
  (void)cw_workers_reconcile(&st);
  be_ready(0);
  by_number(0)->leaving = true;
  st.want = 0;
  (void)cw_workers_reconcile(&st);
  assert_int_equal(told_so_far(), 2);
  assert_int_equal(forked, 2);
}

static void a_failed_start_is_waited_for(void **state) {
  st.want = 1;
  no_process = true;
  assert_in_range(cw_workers_reconcile(&st), 1, 2000000);
  no_process = false;
  assert_in_range(cw_workers_reconcile(&st), 1, 2000000);
  assert_int_equal(forked, 0);
  st.next = 0; /* later */
  assert_int_equal(cw_workers_reconcile(&st), -1);
  assert_int_equal(forked, 1);
}

static void who_is_late_is_killed(void **state) {
  st.want = 1;
  (void)cw_workers_reconcile(&st);
  cw_worker_retire(&st, by_number(0));
  assert_in_range(cw_workers_reconcile(&st), 1, INT64_MAX);
  assert_int_equal(killed[0], 0);
  by_number(0)->deadline = 1;
  (void)cw_workers_reconcile(&st);
  /* It is no child of this process, and so it is not there any more. */
  assert_int_equal(killed[0], 0);
  for (int i = 0; i < CW_MAX_WORKERS; i++)
    assert_int_not_equal(st.workers[i].pid, FIRST);
}

/* The first worker of the new generation, which the others wait for. */
static void start_first_of_new(void) {
  st.want = 2;
  st.gen = &new;
  (void)cw_workers_reconcile(&st);
  assert_int_equal(forked, 1);
}

static void be_ready_on_the_board(int n) {
  atomic_store(&st.board->slots[by_number(n) - st.workers].state, CW_WORKER_READY);
}

static void a_generation_is_proven_once(void **state) {
  start_first_of_new();
  verdict_t v = {0};
  cw_workers_on_notify(&st, &v);
  assert_false(v.proven);
  be_ready_on_the_board(0);
  cw_workers_on_notify(&st, &v);
  assert_true(v.proven);
  assert_true(new.proven);
  (void)cw_workers_reconcile(&st);
  be_ready_on_the_board(1);
  v = (verdict_t){0};
  cw_workers_on_notify(&st, &v);
  assert_true(by_number(1)->ready);
  assert_false(v.proven);
}

static void a_first_worker_that_ends_is_a_failed_start(void **state) {
  static const struct rusage ru;
  start_first_of_new();
  verdict_t v = {0};
  cw_workers_on_end(&st, (int)(by_number(0) - st.workers), CW_EXIT_APP << 8, &ru, &v);
  assert_true(v.start_failed);
  assert_int_equal(v.status, CW_EXIT_APP << 8);
  assert_false(v.proven);
}

static void a_worker_that_was_ready_is_no_failed_start(void **state) {
  static const struct rusage ru;
  start_first_of_new();
  be_ready_on_the_board(0);
  verdict_t v = {0};
  cw_workers_on_notify(&st, &v);
  v = (verdict_t){0};
  cw_workers_on_end(&st, (int)(by_number(0) - st.workers), CW_EXIT_APP << 8, &ru, &v);
  assert_false(v.start_failed);
}

/* A worker can write what it likes: only those with --reload may wish for one. */
static void a_wish_to_reload_is_heard_where_it_may_be(void **state) {
  start_first_of_new();
  cw_slot_t *slot = &st.board->slots[by_number(0) - st.workers];
  verdict_t v = {0};
  atomic_store(&slot->wish, CW_WISH_RELOAD);
  cw_workers_on_notify(&st, &v);
  assert_false(v.wants_reload);
  assert_int_equal(
      cw_settings_set_text(&new.settings, CW_OPT_RELOAD, "true", CW_FROM_ARGV), 0);
  atomic_store(&slot->wish, CW_WISH_RELOAD);
  cw_workers_on_notify(&st, &v);
  assert_true(v.wants_reload);
  st.gen = &old;
  v = (verdict_t){0};
  atomic_store(&slot->wish, CW_WISH_RELOAD);
  cw_workers_on_notify(&st, &v);
  assert_false(v.wants_reload);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(as_many_as_wanted_are_started),
      TEST(a_worker_finds_the_watch_running),
      TEST(the_first_of_an_unproven_generation_goes_ahead_alone),
      TEST(the_oldest_is_told_to_go_where_fewer_are_wanted),
      TEST(old_ones_go_as_new_ones_are_ready),
      TEST(old_ones_stay_until_the_new_generation_is_proven),
      TEST(a_leaver_goes_when_its_successor_is_ready),
      TEST(nobody_is_left_where_none_is_wanted),
      TEST(a_failed_start_is_waited_for),
      TEST(who_is_late_is_killed),
      TEST(a_generation_is_proven_once),
      TEST(a_first_worker_that_ends_is_a_failed_start),
      TEST(a_worker_that_was_ready_is_no_failed_start),
      TEST(a_wish_to_reload_is_heard_where_it_may_be),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
