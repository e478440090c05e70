/* SPDX-License-Identifier: MIT */
/* Start, service and end of a worker process. */
#include "worker/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/board.h"
#include "base/clock.h"
#include "base/exit_codes.h"
#include "base/forked.h"
#include "base/heritage.h"
#include "base/log.h"
#include "base/options.h"
#include "base/syslog.h"
#include "base/title.h"
#include "http/server.h"
#include "http/warmup.h"
#include "worker/appref.h"
#include "worker/collector.h"
#include "worker/compiled.h"
#include "worker/coroutines.h"
#include "worker/limits.h"
#include "worker/package.h"
#include "worker/sched.h"
#include "worker/show.h"
#include "worker/signals.h"
#include "worker/threads.h"
#include "worker/trace.h"
#include "worker/zygote.h"
#include "wsgi/wsgi.h"

/* What this process was given, for as long as it lives. */
static int64_t grace_ms;
static const cw_heritage_t *heritage;
static cw_board_t *board;
static cw_slot_t *own;

/* ---- the interpreter as the scheduler sees it ----------------------------- */

/* Each thread's own; nothing to free at its end but what thread_end() gives back. */
static _Thread_local PyThreadState *saved_state;
static _Thread_local PyGILState_STATE ensured;

static void thread_start(int number) {
  ensured = PyGILState_Ensure();
  cw_threads_begin(number);
  saved_state = PyEval_SaveThread();
}
static void thread_end(void) {
  PyEval_RestoreThread(saved_state);
  cw_threads_end();
  cw_wsgi_thread_end();
  PyGILState_Release(ensured);
}
static void acquire(void) {
  PyEval_RestoreThread(saved_state);
  cw_threads_sync();
}
static void release(void) {
  saved_state = PyEval_SaveThread();
}
/* A main thread that runs requests, and does not name itself; what it ran may have
 * taken CPython's pipe, as an event loop does, and left none. */
static void acquire_alone(void) {
  PyEval_RestoreThread(saved_state);
}
static void release_alone(void) {
  if (CW_UNLIKELY(cw_threads_have_asyncio()) && cw_signals_keep_wakeup())
    cw_signals_run();
  saved_state = PyEval_SaveThread();
}
static void main_run(void) {
  cw_threads_mend_main();
  cw_signals_run();
}

static cw_runtime_t runtime = {.thread_start = thread_start,
                               .thread_end = thread_end,
                               .acquire = acquire,
                               .release = release,
                               .interrupt = cw_wsgi_interrupt,
                               .blocked = cw_wsgi_report_block,
                               .main_run = main_run,
                               .main_wait = cw_signals_wait_nogil,
                               .main_rouse = cw_signals_rouse};

/* ---- start ---------------------------------------------------------------- */

/* Maps memory of at least `least` bytes that the supervisor made. NULL where it is
 * none.
 */
static void *map_fd(int fd, int prot, int flags, size_t least, size_t *size) {
  struct stat st;
  if (fstat(fd, &st) != 0 || st.st_size < (off_t)least) return NULL;
  *size = (size_t)st.st_size;
  void *p = mmap(NULL, *size, prot, flags, fd, 0);
  return p == MAP_FAILED ? NULL : p;
}

/* Maps what the supervisor shares. */
static int map_all(int fd) {
  size_t size = 0, unused;
  /* Private: kernels before 6.7 share nothing that is sealed against writing. */
  const cw_heritage_t *h = heritage =
      map_fd(fd, PROT_READ, MAP_PRIVATE, sizeof(*h), &size);
  if (h && cw_heritage_is_sound(h, size))
    board = map_fd(h->board_fd, PROT_READ | PROT_WRITE, MAP_SHARED, sizeof(*board),
                   &unused);
  if (board) {
    close(fd);
    close(h->board_fd);
    return 0;
  }
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
  const char *config = cw_opt_str(s, CW_OPT_CONFIG);
  /* A configuration that is a module was found where we were started. */
  if (config && strncmp(config, "python:", 7) == 0 && heritage->cwd[0] &&
      prepend_path(heritage->cwd, strlen(heritage->cwd)) < 0)
    return -1;
  if (prepend_path(".", 1) < 0) return -1;
  for (const char *p = extra; p && *p;) {
    size_t n = strcspn(p, ",");
    if (n && prepend_path(p, n) < 0) return -1;
    p += n + (p[n] == ',');
  }
  return 0;
}

static void say_python(void) {
  static const char *const names[] = {"version", "prefix", "path"};
  for (size_t i = 0; i < CW_ARRAY_LEN(names); i++) {
    PyObject *value = PySys_GetObject(names[i]); /* borrowed */
    PyObject *text = value ? PyObject_Str(value) : NULL;
    const char *utf8 = text ? PyUnicode_AsUTF8(text) : NULL;
    if (utf8) cw_log(CW_LOG_DEBUG, "sys.%s: %s", names[i], utf8);
    PyErr_Clear();
    Py_XDECREF(text);
  }
}

/* Descriptors that the app's own child processes must not get. */
static void keep_private(const cw_heritage_t *h, int slot) {
  for (int i = 0; i < h->n_listeners; i++) {
    fcntl(h->listeners[i].fd, F_SETFD, FD_CLOEXEC);
    cw_private_add(h->listeners[i].fd);
  }
  fcntl(h->notify_fd, F_SETFD, FD_CLOEXEC);
  cw_private_add(h->notify_fd);
  if (slot == CW_SLOT_ZYGOTE) {
    fcntl(h->control_fd, F_SETFD, FD_CLOEXEC);
    cw_private_add(h->control_fd);
  } else if (slot >= 0) {
    cw_signals_set_word_fd(h->control_fd);
  }
}

/* ---- applications --------------------------------------------------------- */

/* Imports one app and mounts it. Returns 0, or an exit code after saying what is wrong.
 */
static int load(const char *prefix, const char *ref, const cw_appref_how_t *how,
                PyObject **first) {
  int exit_code = CW_EXIT_BOOT;
  bool async;
  PyObject *callable = cw_appref_load(ref, how, &async, &exit_code);
  if (!callable) return exit_code;
  if (!*first) *first = callable;
  callable = cw_trace_app(callable, async);
  int rc = cw_wsgi_mount(prefix, callable, async);
  Py_DECREF(callable);
  if (rc == 0) return 0;
  cw_wsgi_report("Cannot mount an app");
  return CW_EXIT_BOOT;
}

/* Imports every app. */
static int load_all(const cw_settings_t *s, PyObject **first) {
  const cw_value_t *mounts = &s->v[CW_OPT_MOUNT];
  cw_wsgi_set_root_path(cw_opt_str(s, CW_OPT_ROOT_PATH));
  const char *ref = cw_opt_str(s, CW_OPT_WSGI_APP);
  const cw_appref_how_t how = {
      (cw_interface_t)cw_interface_parse(cw_opt_str(s, CW_OPT_INTERFACE)),
      cw_opt_num(s, CW_OPT_FACTORY) != 0};
  int code = ref ? load(NULL, ref, &how, first) : 0;
  for (unsigned i = 0; code == 0 && i < mounts->n_items; i++) {
    const char *eq = strchr(mounts->items[i], '=');
    char *path = strndup(mounts->items[i], (size_t)(eq - mounts->items[i]));
    if (!path) return CW_EXIT_BOOT;
    code = load(path, eq + 1, &how, first);
    free(path);
  }
  return code;
}

/* ---- service -------------------------------------------------------------- */

/* Has the supervisor look at the board. */
static void notify(void) {
  /* The supervisor's end is gone only if it is: then SIGTERM is on its way. */
  if (write(heritage->notify_fd, "", 1) != 1 && errno != EAGAIN)
    cw_log(CW_LOG_DEBUG, "no supervisor to tell");
}

static void wish(cw_wish_t what) {
  atomic_store(&own->wish, what);
  notify();
}

static void on_served(void *data) {
  wish(CW_WISH_MAX_REQUESTS);
}

static void on_full(void *data, bool full) {
  atomic_store(&own->busy, full);
}

/* Whether another worker accepts and has a thread to spare. */
static bool others(void *data) {
  int used = cw_board_used(board);
  for (int i = 0; i < used; i++) {
    const cw_slot_t *slot = &board->slots[i];
    if (slot != own && atomic_load(&slot->state) == CW_WORKER_READY &&
        !atomic_load(&slot->busy))
      return true;
  }
  return false;
}

static void on_drain(void *data) {
  atomic_store(&own->state, CW_WORKER_DRAINING);
}

static void on_beat(void *data, int64_t oldest) {
  atomic_store(&own->beat, atomic_load(&board->watch_ms));
  atomic_store(&own->oldest, oldest);
}

/* --max-requests with a random addition, so that workers do not go together. */
static int64_t request_limit(const cw_settings_t *s) {
  int64_t most = cw_opt_num(s, CW_OPT_MAX_REQUESTS);
  int64_t jitter = cw_opt_num(s, CW_OPT_MAX_REQUESTS_JITTER);
  uint32_t random = 0;
  if (most == 0 || jitter == 0) return most;
  if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
    random = (uint32_t)getpid();
  return most + (int64_t)(random % (uint64_t)(jitter + 1));
}

static void set_watch(cw_sched_t *sched, const cw_settings_t *s) {
  enum { SLOWEST_MS = 1000, FASTEST_MS = 50 };
  int64_t timeout = cw_opt_num(s, CW_OPT_TIMEOUT);
  cw_sched_watch_t watch = {.running = own->running,
                            .block_ms = cw_opt_num(s, CW_OPT_BLOCK_WARNING),
                            .max_requests = request_limit(s),
                            .served = on_served,
                            /* One worker alone need not look for others. */
                            .full = heritage->n_workers > 1 ? on_full : NULL,
                            .others = others,
                            .drains = on_drain,
                            .timeout = timeout};
  if (timeout > 0) {
    watch.time = &board->watch_ms;
    watch.beat = on_beat;
    watch.beat_ms =
        CW_MIN(CW_MAX(timeout / 4, (int64_t)FASTEST_MS), (int64_t)SLOWEST_MS);
  }
  cw_sched_set_watch(sched, &watch);
}

/* With --daemon the start, which may fail, is seen by whoever typed the command. */
static void leave_terminal(const cw_settings_t *s) {
  if (cw_opt_num(s, CW_OPT_DAEMON))
    cw_log_detach(cw_opt_num(s, CW_OPT_ENABLE_STDIO_INHERITANCE) != 0);
}

/* Requests the paths of --warmup, before the port opens. Returns NULL, or what is wrong
 * with one of them. GIL held. */
static const char *warm_up(const cw_settings_t *s, cw_server_t *srv,
                           const cw_app_t *app) {
  static char why[1024]; /* once in a process */
  const cw_value_t *paths = &s->v[CW_OPT_WARMUP];
  for (unsigned i = 0; i < paths->n_items; i++) {
    char line[256];
    int64_t began = cw_now_us();
    int status = cw_server_warm_up(srv, app, paths->items[i], line, sizeof(line));
    int64_t took = (cw_now_us() - began) / 1000;
    if (status <= 0 || status >= 500) {
      snprintf(why, sizeof(why), "warm-up of %.700s %s%s", paths->items[i],
               status > 0 ? "answered " : "", line);
      return why;
    }
    cw_log(CW_LOG_INFO, "warm-up of %s answered %s in %lld ms", paths->items[i], line,
           (long long)took);
  }
  return NULL;
}

static int serve_threads(cw_sched_t *sched) {
  Py_BEGIN_ALLOW_THREADS
  saved_state = _save;
  cw_sched_run(sched);
  _save = saved_state;
  Py_END_ALLOW_THREADS
  return 0;
}

static int serve(const cw_settings_t *s, const cw_app_t *app) {
  const char *reason = "out of memory or descriptors";
  int exit_code = CW_EXIT_BOOT;
  cw_limits_t limits = {0};
  cw_host_t host;
  cw_server_t *srv = NULL;
  int threads = (int)cw_opt_num(s, CW_OPT_THREADS);
  bool async = cw_coroutines_wanted();
  atomic_store(&own->threads, threads);
  if (threads == 1 && !async) {
    runtime.acquire = acquire_alone;
    runtime.release = release_alone;
  }
  cw_sched_t *sched = cw_sched_new(threads, &runtime, app);
  if (!sched || cw_limits_read(s, CW_MAX(heritage->n_workers, 1), &limits) != 0)
    goto done;
  if (async && cw_coroutines_begin(s, sched) < 0) {
    reason = "an app did not start";
    goto done;
  }
  if (async) cw_trace_phase("lifespan");
  if (async) cw_signals_hold();
  cw_sched_host(sched, &host);
  srv = cw_server_new(&cw_h1, heritage->listeners, heritage->n_listeners, &limits,
                      &host, &reason);
  if (!srv) goto done;
  cw_server_set_board(srv, board, (int)(own - board->slots));
  cw_sched_set_server(sched, srv);
  set_watch(sched, s);
  cw_app_t either = cw_coroutines_app(app);
  const char *cold = warm_up(s, srv, async ? &either : app);
  if (cold) {
    reason = cold;
    goto done;
  }
  if (s->v[CW_OPT_WARMUP].n_items) cw_trace_phase("warm-up");
  int rc = cw_signals_serve(srv, sched, threads == 1 || async);
  if (rc == 0) rc = cw_server_listen(srv, (int)cw_opt_num(s, CW_OPT_BACKLOG));
  if (rc != 0) {
    reason = strerror(-rc);
    goto done;
  }
  leave_terminal(s);
  atomic_store(&own->state, CW_WORKER_READY);
  notify();
  cw_trace_listening();
  rc = async ? cw_coroutines_serve(sched) : serve_threads(sched);
  if (rc == 0) exit_code = 0;
done:
  if (exit_code != 0) cw_log(CW_LOG_CRITICAL, "worker cannot serve: %s", reason);
  int64_t grace_left = sched ? cw_sched_grace_left(sched) : 0;
  cw_signals_end();
  cw_coroutines_end(grace_left);
  cw_package_end(grace_left, cw_signals_interrupted());
  if (srv) cw_server_free(srv);
  cw_package_finish_access();
  if (sched) cw_sched_free(sched);
  cw_limits_fini(&limits);
  return exit_code;
}

/* ---- a worker's life ------------------------------------------------------ */

/* What cannot be opened is told of and done without: the supervisor has checked it. */
static void open_logs(const cw_settings_t *s) {
  char err[256];
  if (cw_log_open(cw_opt_str(s, CW_OPT_ERRORLOG), err, sizeof(err)) != 0)
    cw_log(CW_LOG_ERROR, "%s", err);
  if (cw_opt_num(s, CW_OPT_CAPTURE_OUTPUT)) cw_log_capture();
  if (cw_opt_num(s, CW_OPT_DAEMON)) cw_log_attach();
  if (cw_syslog_start(s, err, sizeof(err)) != 0)
    cw_log(CW_LOG_WARNING, "no syslog: %s", err);
}

/* What comes before the app's import, in a worker and in a zygote. */
static CW_RAISES int begin(cw_settings_t *s, int slot) {
  if (cw_settings_init(s) != 0 ||
      cw_settings_unpack(s, (const char *)heritage + heritage->settings_off,
                         heritage->settings_len) != 0) {
    PyErr_SetString(PyExc_ValueError, "the supervisor's settings do not parse");
    return -1;
  }
  /* An interpreter that was executed has lost this again. What is open here was opened
   * with other rights: no process of the same user may reach for it. */
  if (heritage->other_user) prctl(PR_SET_DUMPABLE, 0);
  cw_log_set_level((cw_log_level_t)cw_log_level_parse(cw_opt_str(s, CW_OPT_LOGLEVEL)));
  cw_log_set_query(cw_opt_num(s, CW_OPT_LOG_QUERY) != 0);
  open_logs(s);
  grace_ms = cw_opt_num(s, CW_OPT_GRACEFUL_TIMEOUT);
  /* A check that is interrupted must not end as if all were well. */
  if (slot != CW_SLOT_CHECK) {
    if (cw_signals_begin(grace_ms) < 0 || cw_show_init(board, slot) < 0) return -1;
    cw_signals_show();
  }
  keep_private(heritage, slot);
#ifdef M_ARENA_MAX /* glibc's */
  mallopt(M_ARENA_MAX, 2);
#endif
  if (cw_threads_init() < 0 || cw_trace_begin(s) < 0) return -1;
  if (set_argv(heritage) < 0 || set_paths(s) < 0) return -1;
  if (cw_log_level_parse(cw_opt_str(s, CW_OPT_LOGLEVEL)) == CW_LOG_DEBUG) say_python();
  return cw_package_begin(s);
}

/* In a worker's own process, before (or, preloaded, after) the app's import. */
static CW_RAISES int become(const cw_settings_t *s, int slot) {
  own = &board->slots[slot];
  cw_title_set("cwsgi: worker %d [%s]", slot + 1, cw_settings_name(s));
  return cw_package_forked(atomic_load(&own->age), heritage->supervisor);
}

/* Serves what was imported. Returns the exit code, or -1 with an exception. */
static int serve_loaded(cw_settings_t *s, PyObject *first) {
  cw_app_t app;
  if (cw_signals_imported() < 0 || cw_package_init_dump(s) < 0) return -1;
  cw_package_check_gevent((int)cw_opt_num(s, CW_OPT_THREADS));
  if (cw_wsgi_begin(&app, cw_opt_num(s, CW_OPT_THREADS) > 1, heritage->n_workers > 1) <
      0)
    return -1;
  cw_wsgi_set_sendfile(cw_opt_num(s, CW_OPT_SENDFILE) != 0);
  cw_trace_startup();
  int rc = cw_package_start(s, first, cw_coroutines_wanted());
  if (rc == 0) rc = cw_package_route_access(s);
  cw_wsgi_end_forked();
  if (rc < 0) {
    cw_wsgi_report("The start-up of the app failed");
    return CW_EXIT_BOOT;
  }
  cw_trace_phase("start-up");
  int code = serve(s, &app);
  cw_wsgi_clear();
  return code;
}

/* Python waits at its end for the app's threads and functions. A worker is killed where
 * that takes too long; nobody watches a zygote that is done. */
static void limit_end(void) {
  signal(SIGALRM, SIG_DFL);
  alarm((unsigned)CW_MAX(grace_ms / 1000, (int64_t)1));
}

/* Now, as a file that is written now is dated, ns. */
static int64_t file_time(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME_COARSE, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int run(int slot) {
  cw_settings_t s;
  PyObject *first = NULL;
  if (begin(&s, slot) < 0) return -1;
  if (slot >= 0 && become(&s, slot) < 0) return -1;
  if (slot == CW_SLOT_ZYGOTE) cw_title_set("cwsgi: preloaded app");
  char folder[PATH_MAX];
  int64_t began = file_time();
  cw_trace_phase("server");
  if (!getcwd(folder, sizeof(folder))) folder[0] = '\0';
  /* The first worker speaks for all. */
  bool speaks = slot == CW_SLOT_ZYGOTE || (slot >= 0 && atomic_load(&own->age) == 1);
  if (speaks && cw_compiled_begin() < 0) return -1;
  if (cw_collector_pause() < 0) return -1;
  int code = load_all(&s, &first);
  cw_wsgi_end_forked();
  cw_collector_resume();
  if (cw_compiled_end(began) < 0) return -1;
  cw_trace_phase("app");
  /* Where older workers serve, they notice that the app was mended. */
  if (code != 0 && slot != CW_SLOT_CHECK && heritage->alone &&
      cw_opt_num(&s, CW_OPT_RELOAD)) {
    if (cw_package_await_change(&s, folder, began) < 0) return -1;
    return CW_EXIT_AGAIN;
  }
  if (code == 0 && cw_package_loaded(first) < 0) return -1;
  if (code == 0 && slot == CW_SLOT_ZYGOTE) {
    int word_fd = -1;
    leave_terminal(&s);
    slot = cw_zygote_serve(heritage, &word_fd);
    if (slot == CW_SLOT_ZYGOTE) {
      limit_end();
      return 0;
    }
    cw_signals_set_word_fd(word_fd);
    cw_show_forked(slot);
    if (slot < 0 || become(&s, slot) < 0) return -1;
    cw_trace_forked(atomic_load(&own->age));
  }
  if (code == 0 && slot >= 0) code = serve_loaded(&s, first);
  if (slot == CW_SLOT_CHECK) cw_signals_limit_check(code);
  cw_trace_end();
  cw_settings_fini(&s);
  return code;
}

PyObject *cw_worker_main(PyObject *module, PyObject *args) {
  int fd, slot;
  if (!PyArg_ParseTuple(args, "ii", &fd, &slot)) return NULL;
  if (map_all(fd) < 0) return NULL;
  int code = run(slot);
  return code < 0 ? NULL : PyLong_FromLong(code);
}

PyObject *cw_worker_changed(PyObject *module, PyObject *path) {
  const char *text = PyUnicode_Check(path) ? PyUnicode_AsUTF8(path) : NULL;
  if (!text) PyErr_Clear();
  cw_log(CW_LOG_INFO, "%s has changed: reloading", text ? text : "A file");
  if (own) wish(CW_WISH_RELOAD);
  Py_RETURN_NONE;
}

PyObject *cw_worker_log(PyObject *module, PyObject *args) {
  const char *level, *text;
  if (!PyArg_ParseTuple(args, "ss", &level, &text)) return NULL;
  int number = cw_log_level_parse(level);
  if (number < 0) return PyErr_Format(PyExc_ValueError, "no level '%s'", level);
  /* Further lines, of a traceback, go under the first as they are. */
  size_t len = strcspn(text, "\n");
  const char *rest = text[len] ? text + len + 1 : "";
  size_t n = strlen(rest);
  if (n && rest[n - 1] != '\n') {
    PyObject *ended = PyUnicode_FromFormat("%s\n", rest);
    const char *p = ended ? PyUnicode_AsUTF8(ended) : NULL;
    if (p) cw_log_text((cw_log_level_t)number, p, n + 1, "%.*s", (int)len, text);
    Py_XDECREF(ended);
    if (!p) return NULL;
  } else {
    cw_log_text((cw_log_level_t)number, rest, n, "%.*s", (int)len, text);
  }
  Py_RETURN_NONE;
}

PyObject *cw_worker_syslog(PyObject *module, PyObject *args) {
  const char *source, *text;
  int number;
  Py_ssize_t n;
  if (!PyArg_ParseTuple(args, "siy#", &source, &number, &text, &n)) return NULL;
  cw_log_level_t level = number >= 50   ? CW_LOG_CRITICAL
                         : number >= 40 ? CW_LOG_ERROR
                         : number >= 30 ? CW_LOG_WARNING
                         : number >= 20 ? CW_LOG_INFO
                                        : CW_LOG_DEBUG;
  if (cw_syslog_on())
    cw_syslog_send(strcmp(source, "access") == 0 ? CW_SYSLOG_ACCESS : CW_SYSLOG_ERROR,
                   level, text, (size_t)n);
  Py_RETURN_NONE;
}
