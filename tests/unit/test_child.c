/* SPDX-License-Identifier: MIT */
/* What a forked child has of its parent, and what it has not. */
#include "unit/unit.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/child.h"
#include "base/log.h"

/* Forks as `how` says. In the child, `fn` gives the exit code, which is returned. */
static int in_child(const cw_child_t *how, int (*fn)(void)) {
  int status;
  pid_t pid = cw_child_fork(how);
  assert_true(pid >= 0);
  if (pid == 0) _exit(fn());
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_true(WIFEXITED(status));
  return WEXITSTATUS(status);
}

static bool blocks(int sig) {
  sigset_t now;
  sigprocmask(SIG_SETMASK, NULL, &now);
  return sigismember(&now, sig) == 1;
}

static int blocked(void) {
  return blocks(SIGUSR1) + 2 * blocks(SIGUSR2);
}

static void it_blocks_what_it_is_told_to(void **state) {
  sigset_t before, ours, theirs;
  sigemptyset(&ours);
  sigaddset(&ours, SIGUSR1);
  sigemptyset(&theirs);
  sigaddset(&theirs, SIGUSR2);
  sigprocmask(SIG_SETMASK, &ours, &before);
  assert_int_equal(in_child(&(cw_child_t){.mask = NULL}, blocked), 1);
  assert_int_equal(in_child(&(cw_child_t){.mask = &theirs}, blocked), 2);
  assert_int_equal(blocked(), 1);
  sigprocmask(SIG_SETMASK, &before, NULL);
}

static int private[2], given[2];

/* Bits of what is open: 1 and 2 the private ones, 4 and 8 those that were given. */
static int open_ones(void) {
  int all[] = {private[0], private[1], given[0], given[1]}, found = 0;
  for (int i = 0; i < 4; i++) found |= (fcntl(all[i], F_GETFD) >= 0) << i;
  return found;
}

/* The same of those that exec would close. */
static int closed_by_exec(void) {
  int all[] = {private[0], private[1], given[0], given[1]}, found = 0;
  for (int i = 0; i < 4; i++)
    if (fcntl(all[i], F_GETFD) & FD_CLOEXEC) found |= 1 << i;
  return found;
}

static void it_keeps_what_it_is_given(void **state) {
  assert_int_equal(pipe2(private, O_CLOEXEC), 0);
  assert_int_equal(pipe2(given, O_CLOEXEC), 0);
  int keep[] = {given[0], -1, given[1]};
  cw_child_t how = {.keep = keep, .n_keep = CW_ARRAY_LEN(keep)};
  assert_int_equal(in_child(&how, open_ones), 1 | 2 | 4 | 8);
  assert_int_equal(in_child(&how, closed_by_exec), 1 | 2);
  how.closes_private = true;
  assert_int_equal(in_child(&how, open_ones), 4 | 8);
  /* Nothing has changed here. */
  assert_int_equal(closed_by_exec(), 1 | 2 | 4 | 8);
  for (int i = 0; i < 2; i++) {
    close(private[i]);
    close(given[i]);
  }
}

static int log_is_open(void) {
  return cw_log_fd() > STDERR_FILENO && fcntl(cw_log_fd(), F_GETFD) >= 0;
}

static void it_can_log(void **state) {
  char err[128];
  assert_int_equal(cw_log_open("/dev/null", err, sizeof(err)), 0);
  assert_int_equal(in_child(&(cw_child_t){.closes_private = true}, log_is_open), 1);
  assert_int_equal(cw_log_open("-", err, sizeof(err)), 0);
}

/* A process that forks a child and ends: the child ends, too. It holds the pipe. */
static void it_ends_with_its_parent(void **state) {
  int fds[2], status;
  char byte;
  assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
  pid_t pid = cw_child_fork(&(cw_child_t){.mask = NULL});
  assert_true(pid >= 0);
  if (pid == 0) {
    pid_t child = cw_child_fork(&(cw_child_t){.death_signal = SIGKILL});
    if (child < 0) _exit(1);
    if (child == 0) {
      alarm(30); /* for when it fails */
      if (write(fds[1], "x", 1) == 1)
        for (;;) pause();
      _exit(1);
    }
    /* Not before it is there: the check of its parent is another test. */
    _exit(read(fds[0], &byte, 1) == 1 ? 0 : 1);
  }
  close(fds[1]);
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_int_equal(status, 0);
  struct pollfd p = {.fd = fds[0], .events = POLLIN};
  assert_int_equal(poll(&p, 1, 20 * 1000), 1);
  assert_int_equal(read(fds[0], &byte, 1), 0);
  close(fds[0]);
}

static int tied_to_another(void) {
  cw_child_tie(getpid(), SIGKILL);
  return 7;
}

static int tied_to_its_parent(void) {
  cw_child_tie(getppid(), SIGKILL);
  return 7;
}

/* The parent may have ended before the kernel was asked. */
static void it_ends_where_its_parent_is_gone(void **state) {
  assert_int_equal(in_child(&(cw_child_t){.mask = NULL}, tied_to_another), 0);
  assert_int_equal(in_child(&(cw_child_t){.mask = NULL}, tied_to_its_parent), 7);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(it_blocks_what_it_is_told_to),
      cmocka_unit_test(it_keeps_what_it_is_given),
      cmocka_unit_test(it_can_log),
      cmocka_unit_test(it_ends_with_its_parent),
      cmocka_unit_test(it_ends_where_its_parent_is_gone),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
