/* SPDX-License-Identifier: MIT */
/* Names of signals. */
#include "base/signal_name.h"

#include <signal.h>
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
