/* SPDX-License-Identifier: MIT */
/* What a process that the app forks gets of its worker. */
#include "unit/unit.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/forked.h"

static int private, shared;
static int told; /* how often the child's function was called */

static void on_child(void) {
  sigset_t now;
  sigprocmask(SIG_SETMASK, NULL, &now);
  told += sigismember(&now, SIGTERM) == 1 ? 1 : 100; /* signals are blocked then */
}

/* Forks as an app would, or as we do. Returns the bits of what the child sees. */
static int child_sees(bool ours) {
  sigset_t now;
  int status;
  cw_forked_expect(ours);
  pid_t pid = fork();
  assert_true(pid >= 0);
  if (pid == 0) {
    sigprocmask(SIG_SETMASK, NULL, &now);
    _exit((fcntl(private, F_GETFD) >= 0) | (fcntl(shared, F_GETFD) >= 0) << 1 |
          (told == 1) << 2 | cw_forked_child << 3 | sigismember(&now, SIGTERM) << 4);
  }
  cw_forked_expect(false);
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_true(WIFEXITED(status));
  return WEXITSTATUS(status);
}

static void a_stranger_gets_no_private_descriptor(void **state) {
  assert_int_equal(child_sees(false), 2 | 4 | 8);
  assert_false(cw_forked_child);
  assert_true(fcntl(private, F_GETFD) >= 0);
}

static void ours_keeps_everything(void **state) {
  assert_int_equal(child_sees(true), 1 | 2);
}

/* Its number may be another file's by then. */
static void a_closed_one_is_forgotten(void **state) {
  int fd = private;
  cw_private_close(fd);
  assert_int_equal(dup2(shared, fd), fd);
  assert_int_equal(child_sees(false), 1 | 2 | 4 | 8);
  cw_private_add(fd);
}

static void the_mask_comes_back(void **state) {
  sigset_t now;
  (void)child_sees(false);
  sigprocmask(SIG_SETMASK, NULL, &now);
  assert_int_equal(sigismember(&now, SIGTERM), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_stranger_gets_no_private_descriptor),
      cmocka_unit_test(ours_keeps_everything),
      cmocka_unit_test(a_closed_one_is_forgotten),
      cmocka_unit_test(the_mask_comes_back),
  };
  private = open("/dev/null", O_RDONLY | O_CLOEXEC);
  shared = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (private < 0 || shared < 0 || cw_forked_watch(on_child) != 0) return 1;
  cw_private_add(private);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
