/* SPDX-License-Identifier: MIT */
/* Names of signals, and those to stop. */
#include "unit/unit.h"

#include <signal.h>

#include "base/signals.h"

/* All of Linux's, as libc has them where it tells. */
static void signals_have_their_names(void **state) {
  static const struct {
    int sig;
    const char *name;
  } known[] = {{SIGTERM, "TERM"}, {SIGABRT, "ABRT"}, {SIGSEGV, "SEGV"},
               {SIGKILL, "KILL"}, {SIGCHLD, "CHLD"}, {SIGXFSZ, "XFSZ"},
               {SIGSYS, "SYS"},   {SIGIO, "POLL"},   {SIGWINCH, "WINCH"}};
  for (size_t i = 0; i < CW_ARRAY_LEN(known); i++)
    assert_string_equal(cw_signal_name(known[i].sig), known[i].name);
  for (int sig = 1; sig < 32; sig++) {
    assert_string_not_equal(cw_signal_name(sig), "?");
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 32)
    assert_string_equal(cw_signal_name(sig), sigabbrev_np(sig));
#endif
  }
  const int unnamed[] = {-1, 0, 32, 64, 65, 1 << 20};
  for (size_t i = 0; i < CW_ARRAY_LEN(unnamed); i++)
    assert_string_equal(cw_signal_name(unnamed[i]), "?");
}

static void stops_that_wait_are_seen(void **state) {
  static const int stops[] = {SIGTERM, SIGINT, SIGQUIT};
  sigset_t set = cw_stop_signals(), before;
  sigaddset(&set, SIGUSR1);
  sigprocmask(SIG_BLOCK, &set, &before);
  assert_false(cw_stop_pending());
  raise(SIGUSR1);
  assert_false(cw_stop_pending());
  for (size_t i = 0; i < CW_ARRAY_LEN(stops); i++) {
    raise(stops[i]);
    assert_true(cw_stop_pending());
    sigemptyset(&set);
    sigaddset(&set, stops[i]);
    assert_int_equal(sigwaitinfo(&set, NULL), stops[i]);
    assert_false(cw_stop_pending());
  }
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  assert_int_equal(sigwaitinfo(&set, NULL), SIGUSR1);
  sigprocmask(SIG_SETMASK, &before, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(signals_have_their_names),
      cmocka_unit_test(stops_that_wait_are_seen),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
