/* SPDX-License-Identifier: MIT */
/* Worker processes from birth to burial. */
#include "supervisor/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/board.h"
#include "base/clock.h"
#include "base/heritage.h"
#include "base/log.h"
#include "base/modes.h"
#include "supervisor/granted.h"
#include "supervisor/sockets.h"

enum {
  EXIT_CONFIG = 1,
  EXIT_BOOT = 3,
  EXIT_APP = 4,
  MS = 1000,                  /* of the microsecond clock */
  STEADY_US = 10 * 1000 * MS, /* a worker that lived this long was no failed start */
  BACKOFF_FIRST_US = 100 * MS,
  BACKOFF_MAX_US = 30 * 1000 * MS,
  KILL_MARGIN_US = 500 * MS, /* beyond the worker's own deadline */
  QUICK_US = 1500 * MS,
  CLOUD_RUN_GRACE_MS = 9000, /* it allows 10 s */
};

typedef struct worker {
  pid_t pid;       /* 0: none */
  int64_t started; /* us */
  int64_t next;    /* when to start it again, us; 0: now */
  int failures;    /* early deaths in a row */
  bool was_ready;
} worker_t;

typedef struct state {
  cw_supervisor_t *how;
  cw_heritage_t *h;
  cw_board_t *board;
  int board_fd, h_fd, notify[2], signal_fd;
  cw_listener_t listeners[CW_MAX_LISTENERS];
  int n_listeners;
  worker_t workers[CW_MAX_WORKERS];
  int n_workers;  /* wanted */
  bool automatic; /* the number of workers is ours to choose */
  bool serving;   /* a worker has been ready */
  bool stopping, quick;
  int64_t deadline; /* of the stop, us */
  int exit_code;
  sigset_t old_mask;
} state_t;

/* ---- workers -------------------------------------------------------------- */

/* In the new process: leaves nothing of the supervisor behind. */
static void become_worker(state_t *st, int slot, pid_t parent) {
  const cw_settings_t *s = st->how->settings;
  const char *dir = cw_opt_str(s, CW_OPT_CHDIR);
  const cw_value_t *env = &s->v[CW_OPT_RAW_ENV];
  /* No orphan may keep the port: end when the supervisor does, however it does. */
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != parent) _exit(0);
  close(st->signal_fd);
  close(st->notify[0]);
  for (int i = 0; i < st->n_listeners; i++) fcntl(st->listeners[i].fd, F_SETFD, 0);
  fcntl(st->h_fd, F_SETFD, 0);
  fcntl(st->board_fd, F_SETFD, 0);
  fcntl(st->notify[1], F_SETFD, 0);
  if (dir && chdir(dir) != 0) {
    cw_complain("--chdir: cannot enter %s: %s", dir, strerror(errno));
    _exit(EXIT_CONFIG);
  }
  setenv("SERVER_SOFTWARE", "cwsgi/" CW_VERSION, 1);
  for (unsigned i = 0; i < env->n_items; i++) putenv(env->items[i]);
  sigprocmask(SIG_SETMASK, &st->old_mask, NULL);
  st->how->enter(st->how->data, st->h_fd, slot);
}

static void start_worker(state_t *st, int slot) {
  worker_t *w = &st->workers[slot];
  pid_t parent = getpid(), pid;
  atomic_store(&st->board->slots[slot].state, CW_WORKER_STARTING);
  w->started = cw_now_us();
  w->was_ready = false;
  pid = fork();
  if (pid == 0) become_worker(st, slot, parent);
  if (pid < 0) {
    cw_log(CW_LOG_ERROR, "cannot fork a worker: %s", strerror(errno));
    w->next = w->started + BACKOFF_FIRST_US * 10;
    return;
  }
  w->pid = pid;
  cw_log(CW_LOG_INFO, "Booting worker with pid: %d", (int)pid);
}

static void stop(state_t *st, bool quick) {
  int64_t grace =
      cw_opt_num(st->how->settings, CW_OPT_GRACEFUL_TIMEOUT) * MS + KILL_MARGIN_US;
  if (st->stopping && (st->quick || !quick)) return;
  if (!st->stopping) cw_log(CW_LOG_INFO, "Shutting down%s", quick ? " quickly" : "");
  st->stopping = true;
  st->quick = quick;
  st->deadline = cw_now_us() + (quick ? QUICK_US : grace);
  cw_sockets_close(st->listeners, st->n_listeners);
  for (int i = 0; i < st->n_workers; i++)
    if (st->workers[i].pid) kill(st->workers[i].pid, quick ? SIGQUIT : SIGTERM);
}

static void kill_workers(state_t *st) {
  for (int i = 0; i < st->n_workers; i++) {
    if (!st->workers[i].pid) continue;
    cw_log(CW_LOG_WARNING, "Worker (pid:%d) did not stop in time; killed",
           (int)st->workers[i].pid);
    kill(st->workers[i].pid, SIGKILL);
  }
  st->deadline = INT64_MAX;
}

static void describe_end(pid_t pid, int status, const struct rusage *ru) {
  if (WIFSIGNALED(status)) {
    int sig = WTERMSIG(status);
    cw_log(CW_LOG_ERROR, "Worker (pid:%d) was killed by SIG%s; it held up to %ld MiB%s",
           (int)pid, sigabbrev_np(sig) ? sigabbrev_np(sig) : "?", ru->ru_maxrss / 1024,
           sig == SIGKILL ? ". Perhaps out of memory?" : "");
  } else if (WEXITSTATUS(status) != 0) {
    cw_log(CW_LOG_ERROR, "Worker (pid:%d) exited with code %d", (int)pid,
           WEXITSTATUS(status));
  } else {
    cw_log(CW_LOG_INFO, "Worker exiting (pid: %d)", (int)pid);
  }
}

/* Plans the next start of a dead worker: at once after a steady life, later and later
 * after early deaths, never not at all. */
static void plan_restart(worker_t *w, bool failed) {
  int64_t now = cw_now_us(), wait = 0;
  if (!failed || now - w->started >= STEADY_US)
    w->failures = 0;
  else if (w->failures++ > 0)
    wait = CW_MIN((int64_t)BACKOFF_FIRST_US << CW_MIN(w->failures - 2, 10),
                  (int64_t)BACKOFF_MAX_US);
  w->next = now + wait;
  if (wait > 1000 * MS)
    cw_log(CW_LOG_WARNING, "workers end early: starting the next one in %.1f s",
           (double)wait / 1e6);
}

static void on_worker_end(state_t *st, int slot, int status, const struct rusage *ru) {
  worker_t *w = &st->workers[slot];
  pid_t pid = w->pid;
  w->pid = 0;
  atomic_store(&st->board->slots[slot].state, CW_WORKER_NONE);
  /* Its own last line has said it all when it was asked to go. */
  if (!st->stopping || WIFSIGNALED(status)) describe_end(pid, status, ru);
  if (st->stopping) return;
  if (!st->serving && WIFEXITED(status)) {
    /* The app has never come up: it will not come up by itself. */
    st->exit_code = WEXITSTATUS(status) ? WEXITSTATUS(status) : EXIT_CONFIG;
    if (st->exit_code == EXIT_BOOT || st->exit_code == EXIT_APP)
      cw_log(CW_LOG_ERROR, "Shutting down: the app could not be started");
    else
      cw_log(CW_LOG_ERROR,
             "Shutting down: no worker could be started with %s; is cwsgi installed "
             "for it?",
             st->how->python);
    stop(st, true);
    return;
  }
  plan_restart(w, WIFSIGNALED(status) || WEXITSTATUS(status) != 0);
}

/* Reaps every dead child; as PID 1 also those that are not ours. */
static void reap(state_t *st) {
  struct rusage ru;
  int status;
  pid_t pid;
  while ((pid = wait4(-1, &status, WNOHANG, &ru)) > 0)
    for (int i = 0; i < st->n_workers; i++)
      if (st->workers[i].pid == pid) on_worker_end(st, i, status, &ru);
}

/* ---- the loop ------------------------------------------------------------- */

static void say_listening(state_t *st) {
  for (int i = 0; i < st->n_listeners; i++) {
    char name[160];
    cw_socket_name(&st->listeners[i], name, sizeof(name));
    cw_log(CW_LOG_INFO, "Listening at: %s (%d)", name, (int)getpid());
  }
}

/* The first worker shows what one costs: start no more than the container holds. */
static void fit_to_memory(state_t *st) {
  int64_t limit = cw_granted_memory(), one = cw_private_memory(st->workers[0].pid);
  if (!st->automatic || limit == 0 || one == 0 || st->n_workers == 1) return;
  /* A fifth of the limit is left for requests and the kernel. */
  int64_t fit = CW_MAX(limit / 5 * 4 / one, 1);
  if (fit >= st->n_workers) return;
  cw_log(CW_LOG_WARNING,
         "starting %d of %d workers: one holds %lld MiB after import, %lld MiB are "
         "granted",
         (int)fit, st->n_workers, (long long)(one >> 20), (long long)(limit >> 20));
  st->n_workers = (int)fit;
}

static void on_notify(state_t *st) {
  char bytes[64];
  while (read(st->notify[0], bytes, sizeof(bytes)) > 0) {
  }
  for (int i = 0; i < st->n_workers; i++) {
    worker_t *w = &st->workers[i];
    if (w->was_ready || atomic_load(&st->board->slots[i].state) != CW_WORKER_READY)
      continue;
    w->was_ready = true;
    if (st->serving || st->stopping) continue;
    st->serving = true;
    say_listening(st);
    fit_to_memory(st);
  }
}

static void on_signal(state_t *st) {
  struct signalfd_siginfo info;
  while (read(st->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
    switch (info.ssi_signo) {
      case SIGTERM:
        cw_log(CW_LOG_INFO, "Handling signal: term");
        stop(st, false);
        break;
      case SIGINT:
      case SIGQUIT:
        cw_log(CW_LOG_INFO, "Handling signal: %s",
               info.ssi_signo == SIGINT ? "int" : "quit");
        stop(st, true);
        break;
      default: break; /* SIGCHLD: reap() is called after every wake-up */
    }
  }
}

static bool any_alive(const state_t *st) {
  for (int i = 0; i < st->n_workers; i++)
    if (st->workers[i].pid) return true;
  return false;
}

/* Starts what is due. Returns how long to sleep, us, or -1 for as long as it takes. */
static int64_t start_due(state_t *st) {
  int64_t now = cw_now_us(), wait = -1;
  if (st->stopping) {
    if (now >= st->deadline) kill_workers(st);
    return st->deadline == INT64_MAX ? -1 : CW_MAX(st->deadline - now, 0);
  }
  /* The first worker goes ahead alone: a broken app then fails once, not N times. */
  int n = st->serving ? st->n_workers : 1;
  for (int i = 0; i < n; i++) {
    worker_t *w = &st->workers[i];
    if (w->pid) continue;
    if (w->next <= now) start_worker(st, i);
    if (!w->pid) wait = wait < 0 ? w->next - now : CW_MIN(wait, w->next - now);
  }
  return wait < 0 ? -1 : CW_MAX(wait, 0);
}

static int watch(state_t *st) {
  for (;;) {
    int64_t wait = start_due(st);
    if (st->stopping && !any_alive(st)) return st->exit_code;
    struct pollfd fds[] = {{.fd = st->signal_fd, .events = POLLIN},
                           {.fd = st->notify[0], .events = POLLIN}};
    struct timespec ts = {.tv_sec = wait / 1000000, .tv_nsec = wait % 1000000 * 1000};
    if (ppoll(fds, CW_ARRAY_LEN(fds), wait < 0 ? NULL : &ts, NULL) < 0 &&
        errno != EINTR) {
      cw_log(CW_LOG_CRITICAL, "poll failed: %s", strerror(errno));
      stop(st, true);
    }
    /* A worker that became ready and died: be told in this order. */
    on_notify(st);
    on_signal(st);
    reap(st);
  }
}

/* ---- start ---------------------------------------------------------------- */

/* Fills in what depends on where we run. */
static void work_out_defaults(state_t *st) {
  cw_settings_t *s = st->how->settings;
  cw_value_t *workers = &s->v[CW_OPT_WORKERS];
  cw_value_t *grace = &s->v[CW_OPT_GRACEFUL_TIMEOUT];
  if (workers->num == 0) {
    workers->num = cw_granted_cpus();
    st->automatic = true;
  }
  if (!cw_opt_given(s, CW_OPT_GRACEFUL_TIMEOUT) && getenv("K_SERVICE")) {
    grace->num = CLOUD_RUN_GRACE_MS;
    grace->source = CW_FROM_ENV;
  }
  st->n_workers = (int)workers->num;
  if (!cw_opt_given(s, CW_OPT_FORWARDED_ALLOW_IPS) && getenv("K_SERVICE")) {
    /* Cloud Run's front end speaks from a link-local address, and nobody else can. */
    char *text = strdup("127.0.0.1,::1,169.254.0.0/16");
    if (text) {
      free(s->v[CW_OPT_FORWARDED_ALLOW_IPS].items[0]);
      s->v[CW_OPT_FORWARDED_ALLOW_IPS].items[0] = text;
      s->v[CW_OPT_FORWARDED_ALLOW_IPS].source = CW_FROM_ENV;
    }
  }
}

static int check_networks(const cw_settings_t *s, cw_opt_t id, const char *flag) {
  cw_networks_t list = {NULL, 0, false};
  cw_span_t bad;
  int rc = cw_networks_add(&list, cw_opt_str(s, id), &bad);
  if (rc != 0)
    cw_complain("%s: '%.*s' is no address or network", flag, (int)bad.len,
                bad.p ? bad.p : "");
  cw_networks_free(&list);
  return rc;
}

/* Options about clients and proxies. */
static int check_peers(const cw_settings_t *s) {
  if (check_networks(s, CW_OPT_FORWARDED_ALLOW_IPS, "--forwarded-allow-ips") != 0 ||
      check_networks(s, CW_OPT_PROXY_ALLOW_IPS, "--proxy-allow-from") != 0)
    return -1;
  if (cw_proxy_mode_parse(cw_opt_str(s, CW_OPT_PROXY_PROTOCOL)) < 0) {
    cw_complain("--proxy-protocol: '%s' is not off, v1, v2 or auto",
                cw_opt_str(s, CW_OPT_PROXY_PROTOCOL));
    return -1;
  }
  if (cw_underscores_parse(cw_opt_str(s, CW_OPT_HEADER_MAP)) < 0) {
    cw_complain("--header-map: '%s' is not drop, refuse or dangerous",
                cw_opt_str(s, CW_OPT_HEADER_MAP));
    return -1;
  }
  return 0;
}

static int check(const state_t *st) {
  const cw_settings_t *s = st->how->settings;
  const char *dir = cw_opt_str(s, CW_OPT_CHDIR);
  const cw_value_t *env = &s->v[CW_OPT_RAW_ENV];
  if (st->n_workers > CW_MAX_WORKERS) {
    cw_complain("--workers: at most %d", CW_MAX_WORKERS);
    return -1;
  }
  if (cw_opt_num(s, CW_OPT_THREADS) < 1 || cw_opt_num(s, CW_OPT_THREADS) > 4096) {
    cw_complain("--threads: from 1 to 4096");
    return -1;
  }
  if (dir && access(dir, X_OK) != 0) {
    cw_complain("--chdir: cannot enter %s: %s", dir, strerror(errno));
    return -1;
  }
  for (unsigned i = 0; i < env->n_items; i++)
    if (!strchr(env->items[i], '=') || env->items[i][0] == '=') {
      cw_complain("--env: '%s' is not KEY=VALUE", env->items[i]);
      return -1;
    }
  return check_peers(s);
}

/* Shared memory of `size` bytes under the descriptor *fd. NULL with errno. */
static void *make_shared(size_t size, int *fd) {
  *fd = memfd_create("cwsgi", MFD_CLOEXEC);
  if (*fd < 0 || ftruncate(*fd, (off_t)size) != 0) return NULL;
  void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
  return p == MAP_FAILED ? NULL : p;
}

static int make_heritage(state_t *st) {
  cw_buf_t tail = {0};
  uint32_t base = sizeof(cw_heritage_t);
  for (int i = 0; i < st->how->argc; i++)
    if (cw_buf_append(&tail, st->how->argv[i], strlen(st->how->argv[i]) + 1) != 0)
      goto fail;
  uint32_t settings_off = base + (uint32_t)tail.len;
  if (cw_settings_pack(st->how->settings, &tail) != 0) goto fail;
  uint32_t size = base + (uint32_t)tail.len;
  st->board = make_shared(sizeof(cw_board_t), &st->board_fd);
  cw_heritage_t *h = st->board ? make_shared(size, &st->h_fd) : NULL;
  if (!h) goto fail;
  h->magic = CW_HERITAGE_MAGIC;
  h->size = size;
  h->n_listeners = st->n_listeners;
  memcpy(h->listeners, st->listeners, sizeof(st->listeners));
  h->n_workers = st->n_workers;
  h->board_fd = st->board_fd;
  h->notify_fd = st->notify[1];
  h->argc = st->how->argc;
  h->argv_off = base;
  h->settings_off = settings_off;
  h->settings_len = size - settings_off;
  memcpy((char *)h + base, tail.p, tail.len);
  cw_buf_free(&tail);
  st->h = h;
  return 0;
fail:
  cw_complain("cannot set up shared memory: %s", strerror(errno));
  cw_buf_free(&tail);
  return -1;
}

static int set_up_signals(state_t *st) {
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, SIGTERM);
  sigaddset(&mask, SIGINT);
  sigaddset(&mask, SIGQUIT);
  sigaddset(&mask, SIGCHLD);
  sigprocmask(SIG_BLOCK, &mask, &st->old_mask);
  st->signal_fd = signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC);
  return st->signal_fd < 0 || pipe2(st->notify, O_NONBLOCK | O_CLOEXEC) != 0 ? -1 : 0;
}

int cw_supervise(cw_supervisor_t *how) {
  static state_t st; /* large, and there is one supervisor */
  st.how = how;
  work_out_defaults(&st);
  if (check(&st) != 0) return EXIT_CONFIG;
  if (set_up_signals(&st) != 0) {
    cw_complain("cannot watch signals: %s", strerror(errno));
    return EXIT_CONFIG;
  }
  st.n_listeners = cw_sockets_bind(how->settings, st.listeners);
  if (st.n_listeners < 0) return EXIT_CONFIG;
  if (make_heritage(&st) != 0) {
    cw_sockets_close(st.listeners, st.n_listeners);
    return EXIT_CONFIG;
  }
  cw_log(CW_LOG_INFO, "Starting cwsgi %s", CW_VERSION);
  if (cw_opt_num(how->settings, CW_OPT_TIMEOUT) > 0)
    cw_log(CW_LOG_WARNING,
           "--timeout is not enforced: no worker is stopped for being slow");
  return watch(&st);
}
