/* SPDX-License-Identifier: MIT */
/* Workers that a zygote forks: it names them, in any order with their ends, and may
 * lie. Processes are made up. */
#include "unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/exit_codes.h"
#include "supervisor/adopt.h"

enum { ZYGOTE = 1000, CHILD, OTHER, NO_CHILD = 2000 };

/* In the place of libc's. */
int waitid(idtype_t type, id_t id, siginfo_t *info, int options) {
  if (id != NO_CHILD) return 0;
  errno = ECHILD;
  return -1;
}

int kill(pid_t pid, int sig) {
  fail_msg("signal %d to %d", sig, (int)pid);
  return -1;
}

static state_t st;
static generation_t gen;
static cw_launcher_t launcher;
static int zygote; /* its end */
static const struct rusage ru;

static int set_up(void **state) {
  char err[128];
  int fds[2];
  assert_int_equal(cw_log_open("/dev/null", err, sizeof(err)), 0);
  assert_int_equal(
      socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
  zygote = fds[1];
  gen = (generation_t){.users = 100,
                       .h_fd = -1,
                       .proven = true,
                       .zygote = {.pid = ZYGOTE, .fd = fds[0]}};
  assert_int_equal(cw_settings_init(&gen.settings), 0);
  st = (state_t){.launcher = &launcher, .gen = &gen, .hooks.fd = -1};
  st.board = mmap(NULL, sizeof(cw_board_t), PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  assert_ptr_not_equal(st.board, MAP_FAILED);
  for (int i = 0; i < 2; i++)
    st.workers[i] = (worker_t){.gen = &gen, .asked = true, .age = i + 1};
  return 0;
}

static int tear_down(void **state) {
  if (gen.zygote.fd >= 0) close(gen.zygote.fd);
  close(zygote);
  cw_settings_fini(&gen.settings);
  munmap(st.board, sizeof(cw_board_t));
  return 0;
}

static verdict_t say(int slot, int pid) {
  cw_zygote_message_t m = {.slot = slot, .pid = pid};
  verdict_t v = {0};
  assert_int_equal(send(zygote, &m, sizeof(m), 0), sizeof(m));
  cw_adopt_read(&st, &v);
  return v;
}

static void a_worker_is_named(void **state) {
  (void)say(1, CHILD);
  assert_int_equal(st.workers[1].pid, CHILD);
  assert_false(st.workers[1].asked);
  assert_true(st.workers[0].asked);
  assert_int_equal(atomic_load(&st.board->slots[1].pid), CHILD);
}

static void it_says_that_it_is_ready(void **state) {
  (void)say(CW_SLOT_ZYGOTE, ZYGOTE);
  assert_true(gen.zygote.ready);
  assert_true(st.workers[0].asked && st.workers[1].asked);
}

/* No child of ours, somebody whom we know, nobody: it is taken for a failed fork. */
static void lies_are_not_believed(void **state) {
  static const int pids[] = {NO_CHILD, ZYGOTE, 0, -1, CHILD};
  for (size_t i = 0; i < CW_ARRAY_LEN(pids); i++) {
    st.workers[0] = (worker_t){.gen = &gen, .asked = true};
    st.workers[2] = (worker_t){.gen = &gen, .pid = CHILD};
    st.next = 0;
    (void)say(0, pids[i]);
    if (st.workers[0].pid || st.workers[0].gen) fail_msg("believed: %d", pids[i]);
    assert_true(st.next > 0); /* not again at once */
  }
}

static void slots_that_nobody_asked_for_are_none_of_its_business(void **state) {
  static const int slots[] = {2, CW_MAX_WORKERS, -7};
  st.workers[2] = (worker_t){.gen = &gen, .pid = OTHER};
  for (size_t i = 0; i < CW_ARRAY_LEN(slots); i++) (void)say(slots[i], CHILD);
  assert_int_equal(st.workers[2].pid, OTHER);
  assert_true(st.workers[0].asked && st.workers[1].asked);
}

/* Its end was heard first. */
static void a_worker_may_be_dead_when_it_is_named(void **state) {
  gen.proven = false;
  cw_adopt_stranger(&st, OTHER, CW_EXIT_BOOT << 8, &ru);
  cw_adopt_stranger(&st, CHILD, CW_EXIT_APP << 8, &ru);
  verdict_t v = say(0, CHILD);
  assert_null(st.workers[0].gen);
  assert_int_equal(st.workers[0].pid, 0);
  assert_true(v.start_failed);
  assert_int_equal(v.status, CW_EXIT_APP << 8);
}

/* An id may be given again: that worker would be taken for dead. */
static void ends_are_kept_while_somebody_is_asked_for(void **state) {
  cw_adopt_stranger(&st, OTHER, 0, &ru);
  assert_int_equal(st.n_strays, 1);
  (void)say(0, CHILD);
  assert_int_equal(st.n_strays, 1);
  (void)say(1, CHILD + 10);
  assert_int_equal(st.n_strays, 0);
  cw_adopt_stranger(&st, OTHER, 0, &ru);
  assert_int_equal(st.n_strays, 0);
}

static void so_many_ends_are_kept(void **state) {
  enum { MOST = CW_ARRAY_LEN(st.strays) };
  for (unsigned i = 0; i <= MOST; i++)
    cw_adopt_stranger(&st, (pid_t)(OTHER + i), 0, &ru);
  assert_int_equal(st.n_strays, MOST);
  assert_int_equal(st.strays[0].pid, OTHER + 1); /* the oldest one went */
}

static void who_was_asked_of_a_dead_zygote_will_not_come(void **state) {
  verdict_t v = {0};
  cw_adopt_on_zygote_end(&st, &gen, CW_EXIT_BOOT << 8, &v);
  assert_null(st.workers[0].gen);
  assert_null(st.workers[1].gen);
  assert_int_equal(gen.zygote.fd, -1);
  assert_int_equal(gen.zygote.pid, 0);
  assert_false(v.start_failed);
}

static void an_unproven_generation_falls_with_its_zygote(void **state) {
  verdict_t v = {0};
  gen.proven = false;
  cw_adopt_on_zygote_end(&st, &gen, CW_EXIT_BOOT << 8, &v);
  assert_true(v.start_failed);
  assert_int_equal(v.status, CW_EXIT_BOOT << 8);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_worker_is_named),
      TEST(it_says_that_it_is_ready),
      TEST(lies_are_not_believed),
      TEST(slots_that_nobody_asked_for_are_none_of_its_business),
      TEST(a_worker_may_be_dead_when_it_is_named),
      TEST(ends_are_kept_while_somebody_is_asked_for),
      TEST(so_many_ends_are_kept),
      TEST(who_was_asked_of_a_dead_zygote_will_not_come),
      TEST(an_unproven_generation_falls_with_its_zygote),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
