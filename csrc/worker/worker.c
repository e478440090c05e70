/* SPDX-License-Identifier: MIT */
/* Start, service and end of a worker process. */
#include "worker/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/board.h"
#include "base/heritage.h"
#include "base/log.h"
#include "base/options.h"
#include "http/server.h"
#include "worker/appref.h"
#include "worker/limits.h"
#include "worker/sched.h"
#include "wsgi/wsgi.h"

enum {
  QUICK_GRACE_MS = 1000, /* INT and QUIT: what can end at once may */
  EXIT_BOOT = 3,
};

/* Process-wide, for the signal handler. */
static cw_sched_t *serving;
static int64_t grace_ms;

static void on_signal(int sig) {
  int saved = errno;
  if (!serving) _exit(0); /* still importing: there is nothing to finish */
  cw_sched_stop(serving, sig == SIGTERM ? grace_ms : CW_MIN(grace_ms, QUICK_GRACE_MS));
  errno = saved;
}

static void install_signals(void) {
  struct sigaction act = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
  static const int handled[] = {SIGTERM, SIGINT, SIGQUIT};
  sigfillset(&act.sa_mask);
  for (size_t i = 0; i < CW_ARRAY_LEN(handled); i++) sigaction(handled[i], &act, NULL);
  /* sendfile(2) has no MSG_NOSIGNAL. */
  signal(SIGPIPE, SIG_IGN);
}

/* ---- the interpreter as the scheduler sees it ----------------------------- */

static _Thread_local PyThreadState *saved_state;
static _Thread_local PyGILState_STATE ensured;

static void thread_start(void) {
  ensured = PyGILState_Ensure();
  saved_state = PyEval_SaveThread();
}
static void thread_end(void) {
  PyEval_RestoreThread(saved_state);
  PyGILState_Release(ensured);
}
static void acquire(void) {
  PyEval_RestoreThread(saved_state);
}
static void release(void) {
  saved_state = PyEval_SaveThread();
}

static const cw_runtime_t runtime = {thread_start, thread_end, acquire, release};

/* ---- start ---------------------------------------------------------------- */

/* Maps shared memory of at least `least` bytes. NULL where it is none. */
static void *map_shared(int fd, size_t least, size_t *size) {
  struct stat st;
  if (fstat(fd, &st) != 0 || st.st_size < (off_t)least) return NULL;
  *size = (size_t)st.st_size;
  void *p = mmap(NULL, *size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  return p == MAP_FAILED ? NULL : p;
}

static int map_heritage(int fd, cw_heritage_t **heritage, cw_board_t **board) {
  size_t size = 0, unused;
  cw_heritage_t *h = *heritage = map_shared(fd, sizeof(*h), &size);
  if (h && h->magic == CW_HERITAGE_MAGIC && h->size == size)
    *board = map_shared(h->board_fd, sizeof(**board), &unused);
  if (*board) return 0;
  PyErr_SetString(PyExc_ValueError, "not started by cwsgi");
  return -1;
}

/* sys.argv as the command was typed; its first word is the cwsgi program. */
static int set_argv(const cw_heritage_t *h) {
  const char *p = (const char *)h + h->argv_off;
  PyObject *argv = PyList_New(0);
  for (int i = 0; argv && i < h->argc; i++, p += strlen(p) + 1) {
    PyObject *word = PyUnicode_DecodeFSDefault(p);
    if (!word || PyList_Append(argv, word) < 0) Py_CLEAR(argv);
    Py_XDECREF(word);
  }
  int rc = argv ? PySys_SetObject("argv", argv) : -1;
  Py_XDECREF(argv);
  return rc;
}

/* Puts `dir` in front of sys.path, unless it is there. */
static int prepend_path(const char *dir, size_t len) {
  PyObject *path = PySys_GetObject("path"); /* borrowed */
  char *text = strndup(dir, len), *full = text ? realpath(text, NULL) : NULL;
  PyObject *entry = full   ? PyUnicode_DecodeFSDefault(full)
                    : text ? PyUnicode_DecodeFSDefault(text)
                           : PyErr_NoMemory();
  int there = entry && path ? PySequence_Contains(path, entry) : -1;
  int rc = there == 0 ? PyList_Insert(path, 0, entry) : there < 0 ? -1 : 0;
  Py_XDECREF(entry);
  free(full);
  free(text);
  return rc;
}

static int set_paths(const cw_settings_t *s) {
  const char *extra = cw_opt_str(s, CW_OPT_PYTHONPATH);
  if (prepend_path(".", 1) < 0) return -1;
  for (const char *p = extra; p && *p;) {
    size_t n = strcspn(p, ",");
    if (n && prepend_path(p, n) < 0) return -1;
    p += n + (p[n] == ',');
  }
  return 0;
}

/* Descriptors that the app's own child processes must not get. */
static void keep_private(const cw_heritage_t *h) {
  for (int i = 0; i < h->n_listeners; i++)
    fcntl(h->listeners[i].fd, F_SETFD, FD_CLOEXEC);
  fcntl(h->notify_fd, F_SETFD, FD_CLOEXEC);
}

/* ---- service -------------------------------------------------------------- */

static void say_ready(cw_heritage_t *h, cw_slot_t *slot) {
  atomic_store(&slot->state, CW_WORKER_READY);
  /* The supervisor's end is gone only if it is: then SIGTERM is on its way. */
  if (write(h->notify_fd, "", 1) != 1) cw_log(CW_LOG_DEBUG, "no supervisor to tell");
}

static int serve(cw_heritage_t *h, cw_slot_t *slot, const cw_settings_t *s,
                 const cw_app_t *app) {
  const char *reason = "out of memory or descriptors";
  int exit_code = EXIT_BOOT;
  cw_limits_t limits = {0};
  cw_host_t host;
  cw_server_t *srv = NULL;
  cw_sched_t *sched = cw_sched_new((int)cw_opt_num(s, CW_OPT_THREADS), &runtime, app);
  if (!sched || cw_limits_read(s, &limits) != 0) goto done;
  cw_sched_host(sched, &host);
  srv = cw_server_new(h->listeners, h->n_listeners, &limits, &host, &reason);
  if (!srv) goto done;
  cw_sched_set_server(sched, srv);
  serving = sched;
  int rc = cw_server_listen(srv, (int)cw_opt_num(s, CW_OPT_BACKLOG));
  if (rc != 0) {
    reason = strerror(-rc);
    goto done;
  }
  say_ready(h, slot);
  Py_BEGIN_ALLOW_THREADS saved_state = _save;
  cw_sched_run(sched);
  _save = saved_state;
  Py_END_ALLOW_THREADS atomic_store(&slot->state, CW_WORKER_DRAINING);
  exit_code = 0;
done:
  if (exit_code != 0) cw_log(CW_LOG_CRITICAL, "worker cannot serve: %s", reason);
  /* From here on a signal ends the process at once. */
  serving = NULL;
  if (srv) cw_server_free(srv);
  if (sched) cw_sched_free(sched);
  cw_limits_fini(&limits);
  return exit_code;
}

static int run(cw_heritage_t *h, cw_slot_t *slot) {
  cw_settings_t settings;
  cw_app_t app;
  int exit_code = EXIT_BOOT;
  if (cw_settings_init(&settings) != 0 ||
      cw_settings_unpack(&settings, (const char *)h + h->settings_off,
                         h->settings_len) != 0) {
    PyErr_SetString(PyExc_ValueError, "the supervisor's settings do not parse");
    return -1;
  }
  cw_log_set_level(
      (cw_log_level_t)cw_log_level_parse(cw_opt_str(&settings, CW_OPT_LOGLEVEL)));
  grace_ms = cw_opt_num(&settings, CW_OPT_GRACEFUL_TIMEOUT);
  install_signals();
  keep_private(h);
  mallopt(M_ARENA_MAX, 2);
  if (set_argv(h) < 0 || set_paths(&settings) < 0) return -1;
  PyObject *callable =
      cw_appref_load(cw_opt_str(&settings, CW_OPT_WSGI_APP), &exit_code);
  if (callable) {
    /* Once more: the app may have put its own in their place while it was imported,
     * and a worker that cannot be stopped would be killed with its requests. */
    install_signals();
    bool threads = cw_opt_num(&settings, CW_OPT_THREADS) > 1;
    int rc = cw_wsgi_set_app(&app, callable, threads, h->n_workers > 1);
    Py_DECREF(callable);
    if (rc < 0) return -1;
    exit_code = serve(h, slot, &settings, &app);
    cw_wsgi_clear();
  }
  cw_settings_fini(&settings);
  return exit_code;
}

PyObject *cw_worker_main(PyObject *module, PyObject *args) {
  int fd, slot;
  (void)module;
  if (!PyArg_ParseTuple(args, "ii", &fd, &slot)) return NULL;
  cw_heritage_t *h;
  cw_board_t *board = NULL;
  if (map_heritage(fd, &h, &board) < 0) return NULL;
  close(fd);
  close(h->board_fd);
  int code = run(h, &board->slots[slot]);
  return code < 0 ? NULL : PyLong_FromLong(code);
}
