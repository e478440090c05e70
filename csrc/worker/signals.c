/* SPDX-License-Identifier: MIT */
/* What stops a worker, and what the app does about signals. */
#include "worker/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/board.h"
#include "base/forked.h"
#include "base/heritage.h"
#include "base/log.h"
#include "worker/dump.h"
#include "worker/package.h"
#include "worker/show.h"
#include "wsgi/wsgi.h"

enum { BEFORE, SERVING, AFTER };

/* One for the process, and nothing of it is ever freed: handlers use it at any time. */
static struct {
  atomic_int phase;
  atomic_int asked;    /* bits of cw_word_t that handlers have noted */
  atomic_int event_fd; /* written by handlers; -1: before the service */
  int word_fd;         /* read end of the supervisor's pipe; -1: none */
  int wakeup[2];       /* CPython's pipe */
  atomic_bool interrupted;
  int64_t grace_ms;
  cw_server_t *srv; /* while it serves; baton */
  cw_sched_t *sched;
  PyObject *signalled; /* _core._signalled; owned until the process ends */
} own = {.event_fd = -1, .word_fd = -1, .wakeup = {-1, -1}};

/* ---- handlers ------------------------------------------------------------- */

static cw_word_t word_of(int sig) {
  return sig == SIGTERM ? CW_WORD_STOP : sig == SIGUSR1 ? CW_WORD_REOPEN : CW_WORD_QUIT;
}

static void ask(cw_word_t word) {
  const uint64_t one = 1;
  if (word == CW_WORD_QUIT) atomic_store(&own.interrupted, true);
  atomic_fetch_or(&own.asked, (int)word);
  int fd = atomic_load(&own.event_fd);
  /* Full means that it is readable, which is all that is wanted. */
  ssize_t n = fd >= 0 ? write(fd, &one, sizeof(one)) : 0;
  (void)n;
}

static void on_signal(int sig) {
  int saved = errno, phase = atomic_load(&own.phase);
  cw_word_t word = word_of(sig);
  if (word != CW_WORD_REOPEN && phase == BEFORE) _exit(0); /* nothing to finish */
  /* It ends already. The supervisor counts the time; where that is gone, an alarm. */
  if (word != CW_WORD_REOPEN && phase == AFTER) {
    signal(SIGALRM, SIG_DFL);
    alarm((unsigned)(own.grace_ms / 1000) + 1);
  }
  ask(word);
  errno = saved;
}

static void install(int sig) {
  struct sigaction act = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
  sigfillset(&act.sa_mask);
  sigaction(sig, &act, NULL);
}

/* A loop that turns shows more, and cannot be in the middle of anything. */
static void on_show(int sig) {
  int saved = errno;
  if (atomic_load(&own.phase) != SERVING || cw_show_now())
    cw_show(false);
  else
    ask(CW_WORD_SHOW);
  errno = saved;
}

/* In a child that the app forked, with all signals blocked. */
static void on_child(void) {
  struct sigaction now, plain = {.sa_handler = SIG_DFL};
  for (size_t i = 0; i < CW_ARRAY_LEN(cw_handled); i++)
    if (sigaction(cw_handled[i], NULL, &now) == 0 && now.sa_handler == on_signal)
      sigaction(cw_handled[i], &plain, NULL);
  if (sigaction(CW_SIGNAL_SHOW, NULL, &now) == 0 && now.sa_handler == on_show)
    sigaction(CW_SIGNAL_SHOW, &plain, NULL);
  cw_dump_forked();
}

/* ---- Python's side -------------------------------------------------------- */

PyObject *cw_signals_signalled(PyObject *module, PyObject *args) {
  int sig;
  PyObject *frame;
  if (!PyArg_ParseTuple(args, "iO", &sig, &frame)) return NULL;
  if (cw_forked_child) {
    /* Kept by the app, and called in a process that is not the worker any more. */
    signal(sig, SIG_DFL);
    raise(sig);
  } else {
    on_signal(sig);
  }
  Py_RETURN_NONE;
}

static CW_RAISES int set_python_handler(int sig, PyObject *handler) {
  PyObject *module = PyImport_ImportModule("_signal");
  PyObject *old =
      module ? PyObject_CallMethod(module, "signal", "iO", sig, handler) : NULL;
  Py_XDECREF(old);
  Py_XDECREF(module);
  return old ? 0 : -1;
}

/* signal.set_wakeup_fd(). Returns the descriptor that was set, -1: none, or -2 with an
 * exception. Main thread. */
static int set_wakeup_fd(int fd) {
  PyObject *signals = PyImport_ImportModule("_signal"), *r = NULL;
  if (signals) r = PyObject_CallMethod(signals, "set_wakeup_fd", "i", fd);
  long old = r ? PyLong_AsLong(r) : -2;
  Py_XDECREF(r);
  Py_XDECREF(signals);
  return (int)old;
}

PyObject *cw_signals_forked(PyObject *module, PyObject *unused) {
  if (!cw_forked_child) Py_RETURN_NONE;
  PyObject *signals = PyImport_ImportModule("_signal");
  for (size_t i = 0; signals && i < CW_ARRAY_LEN(cw_handled); i++) {
    PyObject *now = PyObject_CallMethod(signals, "getsignal", "i", cw_handled[i]);
    PyObject *plain = PyObject_GetAttrString(
        signals, cw_handled[i] == SIGINT ? "default_int_handler" : "SIG_DFL");
    if (now == own.signalled && plain) (void)set_python_handler(cw_handled[i], plain);
    PyErr_Clear();
    Py_XDECREF(now);
    Py_XDECREF(plain);
  }
  Py_XDECREF(signals);
  if (own.wakeup[1] >= 0) {
    /* Only now: a signal that comes first must not find another file in its place. */
    int old = set_wakeup_fd(-1);
    if (old >= 0 && old != own.wakeup[1]) (void)set_wakeup_fd(old);
    PyErr_Clear();
    close(own.wakeup[0]);
    close(own.wakeup[1]);
    own.wakeup[0] = own.wakeup[1] = -1;
  }
  Py_RETURN_NONE;
}

static CW_RAISES int register_at_fork(PyObject *core) {
  PyObject *forked = PyObject_GetAttrString(core, "_forked");
  int rc = forked ? cw_wsgi_at_fork("after_in_child", forked) : -1;
  Py_XDECREF(forked);
  return rc;
}

/* ---- life ----------------------------------------------------------------- */

/* In the process that is going to serve: a zygote's would be shared by its workers. */
static CW_RAISES int open_descriptors(void) {
  int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (fd < 0 || pipe2(own.wakeup, O_NONBLOCK | O_CLOEXEC) != 0) {
    PyErr_SetFromErrno(PyExc_OSError);
    return -1;
  }
  cw_private_add(fd);
  atomic_store(&own.event_fd, fd);
  return 0;
}

void cw_signals_show(void) {
  /* Nothing blocked: what it calls has a handler, too. */
  struct sigaction act = {.sa_handler = on_show, .sa_flags = SA_RESTART};
  sigemptyset(&act.sa_mask);
  sigaction(CW_SIGNAL_SHOW, &act, NULL);
}

int cw_signals_begin(int64_t grace_ms) {
  CW_ASSERT_GIL();
  own.grace_ms = grace_ms;
  int rc = cw_forked_watch(on_child);
  if (rc != 0) {
    errno = -rc;
    PyErr_SetFromErrno(PyExc_OSError);
    return -1;
  }
  PyObject *core = PyImport_ImportModule("cwsgi._core");
  own.signalled = core ? PyObject_GetAttrString(core, "_signalled") : NULL;
  rc = own.signalled ? register_at_fork(core) : -1;
  Py_XDECREF(core);
  if (rc < 0) return -1;
  for (size_t i = 0; i < CW_ARRAY_LEN(cw_handled); i++) {
    /* Python's table first: then the handler in C takes its place in the kernel's. */
    if (set_python_handler(cw_handled[i], own.signalled) < 0) return -1;
    install(cw_handled[i]);
  }
  /* sendfile(2) has no MSG_NOSIGNAL. */
  signal(SIGPIPE, SIG_IGN);
  sigset_t waiting;
  sigemptyset(&waiting);
  for (size_t i = 0; i < CW_ARRAY_LEN(cw_handled); i++)
    sigaddset(&waiting, cw_handled[i]);
  sigprocmask(SIG_UNBLOCK, &waiting, NULL);
  return 0;
}

int cw_signals_imported(void) {
  CW_ASSERT_GIL();
  if (open_descriptors() < 0) return -1;
  for (size_t i = 0; i < CW_ARRAY_LEN(cw_handled); i++) {
    struct sigaction now;
    if (sigaction(cw_handled[i], NULL, &now) != 0 || now.sa_handler != SIG_DFL)
      continue;
    if (set_python_handler(cw_handled[i], own.signalled) < 0) return -1;
    install(cw_handled[i]);
  }
  signal(SIGPIPE, SIG_IGN);
  (void)cw_signals_keep_wakeup();
  return 0;
}

void cw_signals_set_word_fd(int fd) {
  if (own.word_fd >= 0) cw_private_close(own.word_fd);
  own.word_fd = fd;
  if (fd < 0) return;
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  cw_private_add(fd);
}

bool cw_signals_keep_wakeup(void) {
  if (own.wakeup[1] < 0) return false;
  int old = set_wakeup_fd(own.wakeup[1]);
  if (old >= 0 && old != own.wakeup[1]) (void)set_wakeup_fd(old);
  PyErr_Clear(); /* the thread that interrupts requests is not the main one */
  return old == -1;
}

bool cw_signals_interrupted(void) {
  return atomic_load(&own.interrupted);
}

/* ---- in the loop ---------------------------------------------------------- */

static void act(int words) {
  if (words & CW_WORD_LATE) cw_dump_late();
  if (words & CW_WORD_SHOW) {
    cw_show(true);
    cw_server_watch_board(own.srv);
  }
  if (words & CW_WORD_REOPEN) {
    cw_server_reopen_logs(own.srv);
    cw_package_reopen_access_nogil();
  }
  if (words & CW_WORD_QUIT) {
    atomic_store(&own.interrupted, true);
    cw_sched_stop(own.sched, CW_MIN(own.grace_ms, (int64_t)CW_QUICK_GRACE_MS));
  } else if (words & CW_WORD_STOP) {
    cw_sched_stop(own.sched, own.grace_ms);
  }
}

static void on_event(void *data) {
  uint64_t n;
  if (read(own.event_fd, &n, sizeof(n)) < 0 && errno != EAGAIN && errno != EINTR)
    cw_log(CW_LOG_ERROR, "cannot read signals: %s", strerror(errno));
  act(atomic_exchange(&own.asked, 0));
}

static void on_word(void *data) {
  char words[64];
  int all = 0;
  ssize_t n = read(own.word_fd, words, sizeof(words));
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  for (ssize_t i = 0; i < n; i++) all |= words[i];
  if (n <= 0) {
    /* The supervisor is gone, and nobody else will ever say a word. */
    cw_server_unwatch(own.srv, own.word_fd);
    all = CW_WORD_STOP;
  }
  act(all);
}

static void drain_wakeup(void) {
  char bytes[64];
  while (read(own.wakeup[0], bytes, sizeof(bytes)) == (ssize_t)sizeof(bytes)) {
  }
}

static void on_wakeup(void *data) {
  drain_wakeup();
  cw_sched_call_main(own.sched);
}

int cw_signals_serve(cw_server_t *srv, cw_sched_t *sched, bool main_runs) {
  own.srv = srv;
  own.sched = sched;
  int rc = cw_server_watch(srv, own.event_fd, on_event, NULL);
  if (rc == 0 && own.word_fd >= 0)
    rc = cw_server_watch(srv, own.word_fd, on_word, NULL);
  if (rc == 0 && main_runs) rc = cw_server_watch(srv, own.wakeup[0], on_wakeup, NULL);
  if (rc == 0) atomic_store(&own.phase, SERVING);
  /* What came before there was anybody to tell. */
  if (rc == 0 && atomic_load(&own.asked)) ask(CW_WORD_NONE);
  return rc;
}

void cw_signals_end(void) {
  atomic_store(&own.phase, AFTER);
  own.srv = NULL;
  own.sched = NULL;
}

/* ---- on the main thread --------------------------------------------------- */

void cw_signals_rouse(void) {
  ssize_t n = write(own.wakeup[1], "", 1);
  (void)n; /* full: it wakes up anyway */
}

void cw_signals_wait_nogil(void) {
  struct pollfd p = {.fd = own.wakeup[0], .events = POLLIN};
  /* EINTR is a signal as well, for an app with a pipe of its own. */
  if (poll(&p, 1, -1) > 0) drain_wakeup();
}

void cw_signals_hold(void) {
  atomic_store(&own.phase, SERVING);
}

void cw_signals_ask_stop(bool quick) {
  ask(quick ? CW_WORD_QUIT : CW_WORD_STOP);
}

void cw_signals_run(void) {
  CW_ASSERT_GIL();
  (void)cw_signals_keep_wakeup();
  while (PyErr_CheckSignals() < 0) {
    bool quick = PyErr_ExceptionMatches(PyExc_KeyboardInterrupt);
    if (quick || PyErr_ExceptionMatches(PyExc_SystemExit)) {
      PyErr_Clear();
      cw_signals_ask_stop(quick);
    } else {
      cw_wsgi_report("Exception in a signal handler");
    }
  }
}

/* ---- the end of a check --------------------------------------------------- */

static volatile sig_atomic_t checked;

static void on_late_check(int signum) {
  _exit(checked);
}

void cw_signals_limit_check(int code) {
  checked = code;
  signal(SIGALRM, on_late_check);
  alarm(3);
}
