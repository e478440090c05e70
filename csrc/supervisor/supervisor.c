/* SPDX-License-Identifier: MIT */
/* The supervisor's start and end; what is between is loop.c's. */
#include "supervisor/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/exit_codes.h"
#include "base/signals.h"
#include "base/title.h"
#include "supervisor/board.h"
#include "supervisor/boot.h"
#include "supervisor/checks.h"
#include "supervisor/generation.h"
#include "supervisor/hooks.h"
#include "supervisor/identity.h"
#include "supervisor/loop.h"
#include "supervisor/pidfile.h"
#include "supervisor/prefetch.h"
#include "supervisor/reports.h"
#include "supervisor/upgrade.h"

static const cw_settings_t *settings_of(const state_t *st) {
  return &st->gen->settings;
}

/* Shared memory of `size` bytes under the descriptor *fd, called `name`. A worker that
 * made it shorter would end us with SIGBUS: nobody can. NULL with errno. */
static void *make_shared(const char *name, size_t size, int *fd) {
  *fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
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
  st->board = make_shared(CW_BOARD_NAME, sizeof(cw_board_t), &st->board_fd);
  if (st->board) cw_board_sign(st->board);
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
  cw_log(CW_LOG_INFO, "Starting cwsgi %s (Python %s, %d worker%s x %lld thread%s)",
         CW_VERSION, st->launcher->version, st->want, st->want == 1 ? "" : "s",
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
    return CW_EXIT_CONFIG;
  cw_enter_dir(&st, settings);
  cw_prefetch_start(settings, &st.old_mask);
  st.gen = cw_generation_new(&st, settings, NULL);
  if (!st.gen) return cw_stop_pending() ? 0 : CW_EXIT_CONFIG;
  cw_generation_ref(st.gen);
  const cw_settings_t *s = settings_of(&st);
  if (set_up(&st) != 0) {
    cw_leave_terminal(&st, CW_EXIT_CONFIG);
    /* No Unix socket's file stays behind. */
    cw_generation_unref(&st, st.gen);
    return CW_EXIT_CONFIG;
  }
  say_start(&st);
  if (cw_opt_given(s, CW_OPT_WORKER_CLASS))
    cw_log(CW_LOG_INFO, "--worker-class %s has no effect: --threads decides (%lld)",
           cw_opt_str(s, CW_OPT_WORKER_CLASS),
           (long long)cw_opt_num(s, CW_OPT_THREADS));
  cw_reports_identity(s, st.gen->h->cwd);
  cw_title_set("cwsgi: supervisor [%s]", cw_settings_name(s));
  cw_hooks_start(&st);
  cw_hooks_call(&st, CW_HOOK_ON_STARTING, "%s", "");
  cw_hooks_call(&st, CW_HOOK_NWORKERS_CHANGED, "%d ", st.want);
  int code = cw_loop_run(&st);
  cw_hooks_call(&st, CW_HOOK_ON_EXIT, "%s", "");
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
  if (start(&st, launcher, settings) != 0) return CW_EXIT_CONFIG;
  if (cw_opt_num(settings, CW_OPT_PRINT_CONFIG))
    cw_settings_print(settings, false, stdout);
  fflush(stdout);
  gen = (generation_t){.settings = *settings, .h_fd = -1, .zygote.fd = -1};
  if (cw_heritage_make(&st, &gen) != 0) return CW_EXIT_CONFIG;
  pid_t pid = cw_boot(&st, &gen, CW_SLOT_CHECK, -1);
  if (pid < 0 || waitpid(pid, &status, 0) != pid) return CW_EXIT_CONFIG;
  int code = WIFEXITED(status) ? WEXITSTATUS(status) : CW_EXIT_CONFIG;
  return code ? CW_EXIT_CONFIG : 0;
}
