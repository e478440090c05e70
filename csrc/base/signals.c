/* SPDX-License-Identifier: MIT */
/* Names of signals; signals to stop. */
#include "base/signals.h"

#include <stddef.h>

#include "base/macros.h"

/* Those of Linux; each architecture has its own numbers for some. */
static const char *const names[] = {
    [SIGABRT] = "ABRT",     [SIGALRM] = "ALRM", [SIGBUS] = "BUS",
    [SIGCHLD] = "CHLD",     [SIGCONT] = "CONT", [SIGFPE] = "FPE",
    [SIGHUP] = "HUP",       [SIGILL] = "ILL",   [SIGINT] = "INT",
    [SIGIO] = "POLL",       [SIGKILL] = "KILL", [SIGPIPE] = "PIPE",
    [SIGPROF] = "PROF",     [SIGPWR] = "PWR",   [SIGQUIT] = "QUIT",
    [SIGSEGV] = "SEGV",     [SIGSTOP] = "STOP", [SIGSYS] = "SYS",
    [SIGTERM] = "TERM",     [SIGTRAP] = "TRAP", [SIGTSTP] = "TSTP",
    [SIGTTIN] = "TTIN",     [SIGTTOU] = "TTOU", [SIGURG] = "URG",
    [SIGUSR1] = "USR1",     [SIGUSR2] = "USR2", [SIGWINCH] = "WINCH",
    [SIGVTALRM] = "VTALRM", [SIGXCPU] = "XCPU", [SIGXFSZ] = "XFSZ",
#ifdef SIGSTKFLT
    [SIGSTKFLT] = "STKFLT",
#endif
};

const char *cw_signal_name(int sig) {
  if (sig < 0 || (size_t)sig >= CW_ARRAY_LEN(names) || !names[sig]) return "?";
  return names[sig];
}

sigset_t cw_stop_signals(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGQUIT);
  return set;
}

bool cw_stop_pending(void) {
  sigset_t set, stops = cw_stop_signals();
  return sigpending(&set) == 0 && sigandset(&set, &set, &stops) == 0 &&
         !sigisemptyset(&set);
}
