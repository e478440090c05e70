/* SPDX-License-Identifier: MIT */
/* The supervisor's life: start, signals, the loop, the end. */
#include "supervisor/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/signal_name.h"
#include "base/title.h"
#include "supervisor/checks.h"
#include "supervisor/identity.h"
#include "supervisor/pidfile.h"
#include "supervisor/reports.h"
#include "supervisor/sdnotify.h"
#include "supervisor/supervisor_internal.h"

enum {
  KILL_MARGIN_US = 500 * MS, /* beyond the workers' own deadline */
  QUICK_US = 1500 * MS,
};

static const cw_settings_t *settings_of(const state_t *st) {
  return &st->gen->settings;
}

/* ---- the end -------------------------------------------------------------- */

static void stop_now(state_t *st) {
  int64_t grace = cw_opt_num(settings_of(st), CW_OPT_GRACEFUL_TIMEOUT) * MS;
  st->stopping = true;
  st->drain_until = 0;
  st->deadline = cw_now_us() + (st->quick ? QUICK_US : grace + KILL_MARGIN_US);
  generation_t *all[] = {st->gen, st->fallback};
  for (size_t i = 0; i < CW_ARRAY_LEN(all); i++) {
    if (!all[i]) continue;
    cw_generation_unlisten(st, all[i], NULL);
    cw_zygote_end(st, all[i]);
  }
  cw_workers_signal(st, st->quick ? SIGQUIT : SIGTERM);
}

/* During the drain delay nothing has stopped yet: workers that die are replaced. */
static bool is_ending(const state_t *st) {
  return st->stopping || st->drain_until;
}

void cw_stop(state_t *st, bool quick) {
  if (is_ending(st) && (st->quick || !quick)) return;
  int64_t delay = cw_opt_num(settings_of(st), CW_OPT_DRAIN_DELAY) * MS;
  if (!is_ending(st)) {
    cw_log(CW_LOG_INFO, "Shutting down%s", quick ? " quickly" : "");
    cw_sd_notify("STOPPING=1");
  }
  st->quick = quick;
  st->own.draining = true;
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

/* ---- children ------------------------------------------------------------- */

/* systemd may have been told of a process that is gone. */
static void say_main(void) {
  char text[32];
  snprintf(text, sizeof(text), "MAINPID=%d", (int)getpid());
  cw_sd_notify(text);
}

static void on_child_end(state_t *st, pid_t pid, int status, const struct rusage *ru) {
  cw_zygotes_on_message(st);
  for (int i = 0; i < CW_MAX_WORKERS; i++)
    if (st->workers[i].pid == pid) {
      cw_workers_on_end(st, i, status, ru);
      return;
    }
  generation_t *with[2];
  int n = cw_zygotes(st, with, CW_ARRAY_LEN(with));
  for (int i = 0; i < n; i++)
    if (with[i]->zygote.pid == pid) {
      cw_zygote_on_end(st, with[i], status);
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
  cw_zygotes_on_stranger(st, pid, status, ru);
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
  cw_hooks_call(st, "nworkers_changed", "%d %d", after, before);
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
    case SIGTERM: cw_stop(st, false); return;
    case SIGINT:
    case SIGQUIT: cw_stop(st, true); return;
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

void cw_say_listening(state_t *st) {
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
void cw_move_pidfile(state_t *st) {
  const char *path = cw_opt_str(settings_of(st), CW_OPT_PIDFILE);
  /* Ours is NAME.2 until the cwsgi before this one has ended. */
  if (st->upgrade.parent) return;
  if (path && st->pidfile && strcmp(path, st->pidfile) == 0) return;
  if (st->pidfile) cw_pidfile_remove(settings_of(st), st->pidfile);
  free(st->pidfile);
  st->pidfile =
      path && cw_pidfile_write(settings_of(st), path) == 0 ? strdup(path) : NULL;
}

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

static int watch(state_t *st) {
  for (;;) {
    int64_t wait = sooner(drain_due(st), cw_workers_grant(st));
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
    if (ppoll(fds, (nfds_t)(3 + n), wait < 0 ? NULL : &ts, NULL) < 0 &&
        errno != EINTR) {
      cw_log(CW_LOG_CRITICAL, "poll failed: %s", strerror(errno));
      cw_stop(st, true);
    }
    if (st->upgrade.heard && heard->revents) cw_upgrade_heard(st);
    /* A worker that became ready and died: be told in this order. */
    cw_zygotes_on_message(st);
    cw_workers_on_notify(st);
    read_signals(st);
    reap(st);
  }
}

/* ---- start ---------------------------------------------------------------- */

/* Whether there is no reason to go on: nobody reads signals yet. */
static bool stop_pending(void) {
  sigset_t set;
  sigpending(&set);
  return sigismember(&set, SIGTERM) == 1 || sigismember(&set, SIGINT) == 1 ||
         sigismember(&set, SIGQUIT) == 1;
}

/* Shared memory of `size` bytes under the descriptor *fd. A worker that made it shorter
 * would end us with SIGBUS: nobody can. NULL with errno. */
static void *make_shared(size_t size, int *fd) {
  *fd = memfd_create("cwsgi", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (*fd < 0 || ftruncate(*fd, (off_t)size) != 0 ||
      fcntl(*fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW) != 0)
    return NULL;
  void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
  return p == MAP_FAILED ? NULL : p;
}

static int set_up_signals(state_t *st) {
  static const int watched[] = {SIGTERM, SIGINT,  SIGQUIT,  SIGCHLD, SIGHUP,
                                SIGUSR1, SIGUSR2, SIGWINCH, SIGTTIN, SIGTTOU};
  sigset_t mask;
  sigemptyset(&mask);
  for (size_t i = 0; i < CW_ARRAY_LEN(watched); i++) sigaddset(&mask, watched[i]);
  sigprocmask(SIG_BLOCK, &mask, NULL);
  /* Whoever reads the log may end, and so may a worker that is spoken to. */
  signal(SIGPIPE, SIG_IGN);
  st->signal_fd = signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC);
  if (st->signal_fd >= 0) return 0;
  cw_complain("cannot watch signals: %s", strerror(errno));
  return -1;
}

/* What a check needs, too. */
static int start(state_t *st, const cw_launcher_t *launcher, cw_settings_t *settings) {
  st->launcher = launcher;
  st->hooks.fd = -1;
  if (cw_settings_work_out(settings, &st->automatic) != 0 ||
      cw_settings_check(settings) != 0)
    return -1;
  sigprocmask(SIG_BLOCK, NULL, &st->old_mask);
  st->board = make_shared(sizeof(cw_board_t), &st->board_fd);
  if (st->board && pipe2(st->notify, O_NONBLOCK | O_CLOEXEC) == 0) return 0;
  cw_complain("cannot set up shared memory: %s", strerror(errno));
  return -1;
}

/* --listen early: who connects waits in the backlog until a worker is ready. */
static int listen_early(state_t *st) {
  const cw_settings_t *s = settings_of(st);
  if (strcmp(cw_opt_str(s, CW_OPT_LISTEN), "early") != 0) return 0;
  for (int i = 0; i < st->gen->sockets.n; i++)
    if (listen(st->gen->sockets.l[i].fd, (int)cw_opt_num(s, CW_OPT_BACKLOG)) != 0) {
      cw_complain("cannot listen at %s: %s", st->gen->sockets.text[i], strerror(errno));
      return -1;
    }
  return 0;
}

/* Everything between the sockets and the first worker. Returns 0, or -1 after saying
 * what is wrong. */
static int set_up(state_t *st) {
  const cw_settings_t *s = settings_of(st);
  const char *pidfile = cw_opt_str(s, CW_OPT_PIDFILE);
  if (cw_reports_open(s) != 0 || listen_early(st) != 0) return -1;
  /* The process that goes to the background is another one. */
  st->daemon = cw_opt_num(s, CW_OPT_DAEMON) != 0;
  /* After USR2 it is there already, and its parent has to stay its parent. */
  if (st->daemon && !st->upgrade.parent && (st->starter = cw_daemonize()) < 0)
    return -1;
  /* This process forks only children from now on, and those map it anew. */
  if (madvise(st->board, sizeof(*st->board), MADV_DONTFORK) != 0) {
    cw_complain("cannot keep memory to this process: %s", strerror(errno));
    return -1;
  }
  /* Beside a running one, as gunicorn: NAME.2 until that has gone. */
  if (pidfile &&
      (asprintf(&st->pidfile, "%s%s", pidfile, st->upgrade.parent ? ".2" : "") < 0 ||
       cw_pidfile_write(s, st->pidfile) != 0))
    return -1;
  st->want = (int)cw_opt_num(s, CW_OPT_WORKERS);
  return 0;
}

/* Every setting that somebody has given, and what is used. */
static void say_details(const state_t *st) {
  const cw_settings_t *s = settings_of(st);
  const char *config = cw_opt_str(s, CW_OPT_CONFIG);
  cw_log(CW_LOG_DEBUG, "interpreter: %s", st->launcher->python);
  cw_log(CW_LOG_DEBUG, "folder: %s", st->gen->h->cwd);
  cw_log(CW_LOG_DEBUG, "configuration: %s", config ? config : "none");
  char *text = NULL, *rest, *line;
  size_t len;
  FILE *out = open_memstream(&text, &len);
  if (!out) return;
  cw_settings_print(s, true, out);
  fclose(out);
  for (rest = text; text && (line = strsep(&rest, "\n")) != NULL;)
    if (*line) cw_log(CW_LOG_DEBUG, "setting: %s", line);
  free(text);
}

static void say_start(const state_t *st) {
  const cw_settings_t *s = settings_of(st);
  cw_log(CW_LOG_INFO,
         "Starting cwsgi %s (Python %s, WSGI, %d worker%s x %lld thread%s)", CW_VERSION,
         st->launcher->version, st->want, st->want == 1 ? "" : "s",
         (long long)cw_opt_num(s, CW_OPT_THREADS),
         cw_opt_num(s, CW_OPT_THREADS) == 1 ? "" : "s");
  if (cw_log_level_parse(cw_opt_str(s, CW_OPT_LOGLEVEL)) == CW_LOG_DEBUG)
    say_details(st);
}

int cw_supervise(const cw_launcher_t *launcher, cw_settings_t *settings) {
  static state_t st; /* large, and there is one supervisor */
  const char *upgrade = getenv(CW_ENV_UPGRADE);
  if (upgrade) st.upgrade.parent = (pid_t)atol(upgrade);
  cw_upgrade_begin(&st);
  if (start(&st, launcher, settings) != 0 || set_up_signals(&st) != 0)
    return EXIT_CONFIG;
  cw_enter_dir(&st, settings);
  st.gen = cw_generation_new(&st, settings, NULL);
  if (!st.gen) return stop_pending() ? 0 : EXIT_CONFIG;
  cw_generation_ref(st.gen);
  const cw_settings_t *s = settings_of(&st);
  if (set_up(&st) != 0) {
    cw_leave_terminal(&st, EXIT_CONFIG);
    /* No Unix socket's file stays behind. */
    cw_generation_unref(&st, st.gen);
    return EXIT_CONFIG;
  }
  say_start(&st);
  if (cw_opt_given(s, CW_OPT_WORKER_CLASS))
    cw_log(CW_LOG_INFO, "--worker-class %s has no effect: --threads decides (%lld)",
           cw_opt_str(s, CW_OPT_WORKER_CLASS),
           (long long)cw_opt_num(s, CW_OPT_THREADS));
  cw_reports_identity(s, st.gen->h->cwd);
  cw_title_set("cwsgi: supervisor [%s]", cw_settings_name(s));
  cw_hooks_start(&st);
  cw_hooks_call(&st, "on_starting", "%s", "");
  cw_hooks_call(&st, "nworkers_changed", "%d ", st.want);
  int code = watch(&st);
  cw_hooks_call(&st, "on_exit", "%s", "");
  cw_hooks_end(&st);
  if (st.pidfile) cw_pidfile_remove(settings_of(&st), st.pidfile);
  cw_log(CW_LOG_INFO, code ? "cwsgi has stopped (exit code %d)" : "cwsgi has stopped",
         code);
  cw_leave_terminal(&st, code);
  return code;
}

int cw_supervise_check(const cw_launcher_t *launcher, cw_settings_t *settings) {
  static state_t st;
  static generation_t gen;
  int status;
  if (start(&st, launcher, settings) != 0) return EXIT_CONFIG;
  if (cw_opt_num(settings, CW_OPT_PRINT_CONFIG))
    cw_settings_print(settings, false, stdout);
  fflush(stdout);
  gen = (generation_t){.settings = *settings, .h_fd = -1, .zygote.fd = -1};
  if (cw_heritage_make(&st, &gen) != 0) return EXIT_CONFIG;
  pid_t pid = cw_child_fork_worker(&st, &gen, CW_SLOT_CHECK, -1);
  if (pid < 0 || waitpid(pid, &status, 0) != pid) return EXIT_CONFIG;
  int code = WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_CONFIG;
  return code == CW_EXIT_NOT_WSGI ? EXIT_APP : code ? EXIT_CONFIG : 0;
}
