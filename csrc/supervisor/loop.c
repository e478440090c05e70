/* SPDX-License-Identifier: MIT */
/* The supervisor's loop: waits, hears of signals, children and wishes, and acts on what
 * the lower files find; drain and stop. */
#include "supervisor/loop.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/exit_codes.h"
#include "base/signals.h"
#include "supervisor/adopt.h"
#include "supervisor/board.h"
#include "supervisor/generation.h"
#include "supervisor/hooks.h"
#include "supervisor/identity.h"
#include "supervisor/pace.h"
#include "supervisor/pidfile.h"
#include "supervisor/reload.h"
#include "supervisor/reports.h"
#include "supervisor/sdnotify.h"
#include "supervisor/upgrade.h"
#include "supervisor/watch.h"
#include "supervisor/workers.h"
#include "supervisor/zygote.h"

enum { AGAIN_US = 200 * 1000 /* until a start after a broken app has changed */ };

static const cw_settings_t *settings_of(const state_t *st) {
  return &st->gen->settings;
}

/* ---- the end -------------------------------------------------------------- */

static void stop_now(state_t *st) {
  int64_t grace = st->quick ? CW_QUICK_GRACE_MS
                            : cw_opt_num(settings_of(st), CW_OPT_GRACEFUL_TIMEOUT);
  st->stopping = true;
  st->drain_until = 0;
  st->deadline = cw_now_us() + grace * MS + KILL_MARGIN_US;
  generation_t *all[] = {st->gen, st->fallback};
  for (size_t i = 0; i < CW_ARRAY_LEN(all); i++) {
    if (!all[i]) continue;
    cw_generation_unlisten(st, all[i], NULL);
    cw_adopt_end_zygote(st, all[i]);
  }
  cw_workers_signal(st, st->quick ? SIGQUIT : SIGTERM);
}

/* During the drain delay nothing has stopped yet: workers that die are replaced. */
static bool is_ending(const state_t *st) {
  return st->stopping || st->drain_until;
}

static void stop(state_t *st, bool quick) {
  if (is_ending(st) && (st->quick || !quick)) return;
  int64_t delay = cw_opt_num(settings_of(st), CW_OPT_DRAIN_DELAY) * MS;
  if (!is_ending(st)) {
    cw_log(CW_LOG_INFO, "Shutting down%s", quick ? " quickly" : "");
    cw_sd_notify("STOPPING=1");
  }
  st->quick = quick;
  st->published.draining = true;
  if (quick || delay == 0 || !st->serving) {
    stop_now(st);
    return;
  }
  cw_log(CW_LOG_INFO, "Still accepting for %.1f s (--drain-delay)",
         (double)delay / 1e6);
  st->drain_until = cw_now_us() + delay;
}

/* Ends the drain delay when it is time. Returns us until then, or -1. */
static int64_t drain_due(state_t *st) {
  int64_t now = cw_now_us();
  if (st->drain_until && now >= st->drain_until) stop_now(st);
  return st->drain_until ? st->drain_until - now : -1;
}

/* What the stop waits for. Returns us until it wants to be called again, or -1. */
static int64_t stop_due(state_t *st) {
  int64_t now = cw_now_us();
  if (now >= st->deadline) {
    cw_workers_kill_all(st);
    st->deadline = INT64_MAX;
  }
  return st->deadline == INT64_MAX ? -1 : st->deadline - now;
}

/* ---- what the lower files have found --------------------------------------- */

static void start_failed(state_t *st, int status) {
  if (st->fallback) {
    cw_reload_failed(st, "the new worker could not be started");
    return;
  }
  int code = WIFEXITED(status) ? WEXITSTATUS(status) : CW_EXIT_CONFIG;
  /* The app can end with that code, too, as soon as it is started: not without end. */
  if (code == CW_EXIT_AGAIN && cw_opt_num(&st->gen->settings, CW_OPT_RELOAD)) {
    st->next = cw_now_us() + AGAIN_US;
    return;
  }
  st->exit_code = code == CW_EXIT_BOOT || code == CW_EXIT_APP ? code : CW_EXIT_CONFIG;
  if (st->exit_code != CW_EXIT_CONFIG)
    cw_log(CW_LOG_ERROR, "Shutting down: the app could not be started");
  else
    cw_log(CW_LOG_ERROR, "Shutting down: no worker could be started with %s%s",
           st->launcher->python,
           code == CW_EXIT_NO_PACKAGE ? "; is cwsgi installed for it?" : "");
  stop(st, true);
}

static void say_listening(state_t *st) {
  for (int i = 0; i < st->gen->sockets.n; i++) {
    const cw_listener_t *l = &st->gen->sockets.l[i];
    char name[160];
    cw_socket_name(l, name, sizeof(name));
    cw_log(CW_LOG_INFO, "Listening at: %s%s (%d)", name, l->metrics ? "/metrics" : "",
           (int)getpid());
  }
}

void cw_leave_terminal(state_t *st, int code) {
  if (!st->starter) return;
  cw_log_detach(cw_opt_num(settings_of(st), CW_OPT_ENABLE_STDIO_INHERITANCE) != 0);
  cw_daemon_started(st->starter, code);
  st->starter = 0;
}

/* A reload may name another pid file. */
static void move_pidfile(state_t *st) {
  const char *path = cw_opt_str(settings_of(st), CW_OPT_PIDFILE);
  /* Ours is NAME.2 until the cwsgi before this one has ended. */
  if (st->upgrade.parent) return;
  if (path && st->pidfile && strcmp(path, st->pidfile) == 0) return;
  if (st->pidfile) cw_pidfile_remove(settings_of(st), st->pidfile);
  free(st->pidfile);
  st->pidfile =
      path && cw_pidfile_write(settings_of(st), path) == 0 ? strdup(path) : NULL;
}

static void say_ready(void) {
  char text[64];
  snprintf(text, sizeof(text), "READY=1\nMAINPID=%d", (int)getpid());
  cw_sd_notify(text);
}

/* The present generation has shown that it works. */
static void proven(state_t *st) {
  if (!st->serving) {
    st->serving = true;
    say_listening(st);
    cw_hooks_call(st, CW_HOOK_WHEN_READY, "%s", "");
    cw_upgrade_ready(st);
    say_ready();
    cw_leave_terminal(st, 0);
  }
  if (st->fallback) {
    /* Its workers have their own. Ours would go on listening until the last of them has
     * ended, for clients that nobody answers. */
    cw_generation_unlisten(st, st->fallback, st->gen);
    cw_generation_unref(st, st->fallback);
    st->fallback = NULL;
    move_pidfile(st);
    st->published.reloads++;
    cw_log(CW_LOG_INFO, "Reloaded: new workers take over");
    say_ready();
  }
}

void cw_loop_act(state_t *st, const verdict_t *v) {
  if (v->start_failed) start_failed(st, v->status);
  if (v->proven) proven(st);
  if (v->wants_reload) st->wishes_reload = true;
}

int64_t cw_loop_grant(state_t *st) {
  enum { PAUSE_US = 1000 * MS };
  int64_t now = cw_now_us(), due = st->wished ? st->wished + PAUSE_US : now;
  if (!st->wishes_reload || st->stopping || st->published.draining) return -1;
  if (due > now) return due - now;
  st->wishes_reload = false;
  st->wished = now;
  cw_reload(st);
  return -1;
}

/* ---- children ------------------------------------------------------------- */

static void hear_zygotes(state_t *st) {
  verdict_t v = {0};
  cw_adopt_read(st, &v);
  cw_loop_act(st, &v);
}

static void look_at_board(state_t *st) {
  verdict_t v = {0};
  cw_workers_on_notify(st, &v);
  cw_loop_act(st, &v);
}

/* systemd may have been told of a process that is gone. */
static void say_main(void) {
  char text[32];
  snprintf(text, sizeof(text), "MAINPID=%d", (int)getpid());
  cw_sd_notify(text);
}

static void on_child_end(state_t *st, pid_t pid, int status, const struct rusage *ru) {
  verdict_t v = {0};
  hear_zygotes(st);
  for (int i = 0; i < CW_MAX_WORKERS; i++)
    if (st->workers[i].pid == pid) {
      cw_workers_on_end(st, i, status, ru, &v);
      cw_loop_act(st, &v);
      return;
    }
  generation_t *with[2];
  int n = cw_zygotes(st, with, CW_ARRAY_LEN(with));
  for (int i = 0; i < n; i++)
    if (with[i]->zygote.pid == pid) {
      cw_adopt_on_zygote_end(st, with[i], status, &v);
      cw_loop_act(st, &v);
      return;
    }
  if (pid == st->upgrade.child) {
    cw_log(CW_LOG_WARNING, "The new cwsgi (pid: %d) has ended; this one goes on",
           (int)pid);
    st->upgrade.child = 0;
    say_main();
    return;
  }
  if (pid == st->hooks.pid) {
    cw_hooks_on_end(st);
    return;
  }
  cw_adopt_stranger(st, pid, status, ru);
}

/* Reaps every dead child; as PID 1 also those that are not ours. */
static void reap(state_t *st) {
  struct rusage ru;
  int status;
  pid_t pid;
  while ((pid = wait4(-1, &status, WNOHANG, &ru)) > 0)
    on_child_end(st, pid, status, &ru);
}

/* ---- signals -------------------------------------------------------------- */

static void change_workers(state_t *st, int by) {
  /* WINCH may have left none: one less is not one more. */
  int before = st->want, least = CW_MIN(before, 1);
  int after = CW_MIN(CW_MAX(before + by, least), CW_MAX_WORKERS / 2);
  if (after == before) return;
  st->want = after;
  cw_log(CW_LOG_INFO, "Workers: %d instead of %d", after, before);
  cw_hooks_call(st, CW_HOOK_NWORKERS_CHANGED, "%d %d", after, before);
}

/* A terminal sends WINCH whenever its window changes: it only means something where
 * somebody is at an upgrade, or no terminal is there. */
static void on_winch(state_t *st) {
  if (!st->upgrade.child && !st->daemon) {
    cw_log(CW_LOG_DEBUG, "WINCH ignored: no upgrade is under way");
    return;
  }
  cw_log(CW_LOG_INFO, "Stopping the workers; this process stays");
  st->want = 0;
}

static void on_signal(state_t *st, int sig) {
  const char *name = cw_signal_name(sig);
  if (sig == SIGCHLD) return; /* reap() is called after every wake-up */
  char lower[16];
  for (size_t i = 0; i < sizeof(lower) - 1 && (i == 0 || name[i - 1]); i++)
    lower[i] = (char)(name[i] ? name[i] | 0x20 : '\0');
  lower[sizeof(lower) - 1] = '\0';
  if (sig != SIGWINCH) cw_log(CW_LOG_INFO, "Handling signal: %s", lower);
  switch (sig) {
    case SIGTERM: stop(st, false); return;
    case SIGINT:
    case SIGQUIT: stop(st, true); return;
    case SIGUSR1:
      cw_reports_reopen(settings_of(st));
      cw_workers_signal(st, SIGUSR1);
      cw_hooks_reopen(st);
      return;
    default: break;
  }
  if (is_ending(st)) return;
  switch (sig) {
    case SIGHUP: cw_reload(st); break;
    case SIGUSR2: cw_upgrade(st); break;
    case SIGWINCH: on_winch(st); break;
    case SIGTTIN: change_workers(st, 1); break;
    case SIGTTOU: change_workers(st, -1); break;
    default: break;
  }
}

static void read_signals(state_t *st) {
  struct signalfd_siginfo info;
  while (read(st->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
    on_signal(st, (int)info.ssi_signo);
}

/* ---- the loop ------------------------------------------------------------- */

/* The cwsgi that started this one has ended: its place and pid file are ours. */
static int64_t watch_parent(state_t *st) {
  if (!st->upgrade.parent) return -1;
  if (getppid() == st->upgrade.parent) return 1000 * MS;
  st->upgrade.parent = 0;
  cw_log(CW_LOG_INFO, "The cwsgi before this one has ended");
  const char *path = cw_opt_str(settings_of(st), CW_OPT_PIDFILE);
  if (path && st->pidfile && cw_pidfile_move(settings_of(st), st->pidfile, path) == 0) {
    free(st->pidfile);
    st->pidfile = strdup(path);
  }
  return -1;
}

static int64_t sooner(int64_t a, int64_t b) {
  return a < 0 ? b : b < 0 ? a : CW_MIN(a, b);
}

static bool done(const state_t *st) {
  return st->stopping && !cw_workers_alive(st);
}

int cw_loop_run(state_t *st) {
  for (;;) {
    int64_t wait = sooner(drain_due(st), cw_loop_grant(st));
    wait = st->stopping ? stop_due(st) : sooner(wait, cw_workers_reconcile(st));
    /* The reconciliation may have found that there is nothing to serve. */
    if (done(st)) return st->exit_code;
    cw_reports_workers(settings_of(st), cw_workers_count(st));
    wait = sooner(sooner(wait, cw_watch(st)), watch_parent(st));
    cw_board_publish(st);
    int64_t now = cw_now_us();
    struct pollfd fds[8] = {
        {.fd = st->signal_fd, .events = POLLIN},
        {.fd = cw_pace_allows(&st->notes, now, &wait) ? st->notify[0] : -1,
         .events = POLLIN}};
    generation_t *with[2];
    int n = cw_zygotes(st, with, CW_ARRAY_LEN(with));
    bool listen_to = cw_pace_allows(&st->answers, now, &wait);
    for (int i = 0; i < n; i++)
      fds[2 + i] =
          (struct pollfd){.fd = listen_to ? with[i]->zygote.fd : -1, .events = POLLIN};
    struct pollfd *heard = &fds[2 + n];
    *heard = (struct pollfd){.fd = st->upgrade.heard ? st->upgrade.heard : -1,
                             .events = POLLIN};
    wait = CW_MAX(wait, (int64_t)-1);
    struct timespec ts = {.tv_sec = wait / 1000000, .tv_nsec = wait % 1000000 * 1000};
    if (ppoll(fds, 3 + (nfds_t)n, wait < 0 ? NULL : &ts, NULL) < 0 && errno != EINTR) {
      cw_log(CW_LOG_CRITICAL, "poll failed: %s", strerror(errno));
      stop(st, true);
    }
    if (st->upgrade.heard && heard->revents) cw_upgrade_heard(st);
    /* A worker that became ready and died: be told in this order. */
    hear_zygotes(st);
    look_at_board(st);
    read_signals(st);
    reap(st);
  }
}
