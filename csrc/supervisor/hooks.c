/* SPDX-License-Identifier: MIT */
/* The master's hooks of a configuration file, run by a helper process in Python
 * (python/cwsgi/_master.py tells the protocol): one datagram of NUL-separated words for
 * a call, one for its answer. */
#include "supervisor/hooks.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/child.h"
#include "base/clock.h"
#include "base/title.h"

enum {
  ANSWER_MS = 10 * 1000,
  START_MS = 60 * 1000,
  LONGEST = 256,
  STEADY_US = 1000 * MS, /* one that died sooner would do so again */
};

/* Waits for the answer to a call. Returns 0 or -1. */
static int wait_answer(state_t *st, const char *name, int limit_ms) {
  struct pollfd p = {.fd = st->hooks.fd, .events = POLLIN};
  char answer[64];
  int rc;
  while ((rc = poll(&p, 1, limit_ms)) < 0 && errno == EINTR) {
  }
  if (rc > 0 && recv(st->hooks.fd, answer, sizeof(answer), 0) > 0) return 0;
  cw_log(CW_LOG_ERROR,
         rc == 0 ? "the %s hook takes too long: going on without it"
                 : "the process that runs hooks ended in %s",
         name);
  close(st->hooks.fd);
  st->hooks.fd = -1;
  return -1;
}

/* Sends the settings, which the helper's `server.cfg` shows. */
static int send_settings(state_t *st) {
  cw_buf_t text = {0};
  int rc = cw_buf_append(&text, "settings", sizeof("settings"));
  if (rc == 0) rc = cw_settings_entries(&st->gen->settings, &text);
  if (rc == 0 && send(st->hooks.fd, text.p, text.len - 1, MSG_NOSIGNAL) < 0) rc = -1;
  cw_buf_free(&text);
  return rc == 0 ? wait_answer(st, "settings", START_MS) : -1;
}

void cw_hooks_start(state_t *st) {
  const cw_settings_t *s = &st->gen->settings;
  int fds[2];
  pid_t parent = getpid();
  /* The one that runs reads the file again: hooks may keep state on their server. */
  if (st->hooks.fd >= 0 && cw_hooks_given(s, true) && send_settings(st) == 0) return;
  cw_hooks_end(st);
  if (!cw_hooks_given(s, true)) return;
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0) {
    cw_log(CW_LOG_ERROR, "cannot start the process that runs hooks: %s",
           strerror(errno));
    return;
  }
  pid_t pid = cw_child_fork(&(cw_child_t){.mask = &st->old_mask,
                                          .death_signal = SIGKILL,
                                          .keep = &fds[1],
                                          .n_keep = 1,
                                          .closes_private = true});
  if (pid == 0) {
    if (st->starter) cw_log_detach(cw_opt_num(s, CW_OPT_ENABLE_STDIO_INHERITANCE) != 0);
    /* What hooks write belongs to the error log, wherever that is. */
    if (cw_log_fd() != STDERR_FILENO) dup2(cw_log_fd(), STDERR_FILENO);
    cw_title_set("cwsgi: hooks [%s]", cw_settings_name(s));
    /* Our descriptor follows the log when it is rotated. Its name may be changed by
     * whoever can write to its folder; this one cannot. */
    char log[64] = "-";
    if (cw_log_fd() != STDERR_FILENO)
      snprintf(log, sizeof(log), "/proc/%d/fd/%d", (int)parent, cw_log_fd());
    st->launcher->enter_hooks(st->launcher->data, fds[1], cw_opt_str(s, CW_OPT_CONFIG),
                              st->gen->h->cwd, log);
  }
  close(fds[1]);
  if (pid < 0) {
    close(fds[0]);
    cw_log(CW_LOG_ERROR, "cannot fork the process that runs hooks: %s",
           strerror(errno));
    return;
  }
  st->hooks.pid = pid;
  st->hooks.fd = fds[0];
  st->hooks.started = cw_now_us();
  if (send_settings(st) != 0) cw_hooks_end(st);
}

/* Sends `name` with the words of `fmt`, and waits for the answer. */
static void tell_words(state_t *st, const char *name, const char *fmt, va_list ap) {
  char text[LONGEST];
  int n = snprintf(text, sizeof(text), "%s ", name);
  int m = vsnprintf(text + n, sizeof(text) - (size_t)n, fmt, ap);
  size_t len = m > 0 ? (size_t)(n + m) : (size_t)n - 1;
  for (size_t i = 0; i < len; i++)
    if (text[i] == ' ') text[i] = '\0';
  if (send(st->hooks.fd, text, len, MSG_NOSIGNAL) == (ssize_t)len)
    (void)wait_answer(st, name, ANSWER_MS);
}

void cw_hooks_call(state_t *st, cw_hook_t hook, const char *fmt, ...) {
  /* What keeps server.WORKERS right is told in any case. */
  bool always = hook == CW_HOOK_PRE_FORK || hook == CW_HOOK_CHILD_EXIT ||
                hook == CW_HOOK_NWORKERS_CHANGED;
  if (st->hooks.fd < 0) return;
  if (!always && !cw_hook_given(&st->gen->settings, hook)) return;
  va_list ap;
  va_start(ap, fmt);
  tell_words(st, cw_hook_name(hook), fmt, ap);
  va_end(ap);
}

static CW_PRINTF(3, 4) void tell(state_t *st, const char *name, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  tell_words(st, name, fmt, ap);
  va_end(ap);
}

void cw_hooks_forked(state_t *st, int slot, int age, pid_t pid) {
  if (st->hooks.fd >= 0) tell(st, "forked", "%d %d %d", slot, age, (int)pid);
}

void cw_hooks_reopen(const state_t *st) {
  /* It has answered, and so it does not die of it. */
  if (st->hooks.fd >= 0) kill(st->hooks.pid, SIGUSR1);
}

void cw_hooks_end(state_t *st) {
  if (st->hooks.fd >= 0) close(st->hooks.fd);
  st->hooks.fd = -1;
  st->hooks.pid = 0;
}

void cw_hooks_on_end(state_t *st) {
  bool steady = cw_now_us() - st->hooks.started > STEADY_US;
  cw_hooks_end(st);
  if (st->stopping) return;
  cw_log(CW_LOG_ERROR, "the process that runs hooks ended; %s",
         steady ? "starting another one" : "going on without it");
  if (steady) cw_hooks_start(st);
}
