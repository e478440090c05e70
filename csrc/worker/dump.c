/* SPDX-License-Identifier: MIT */
/* Stacks of all threads. Python's come from faulthandler, which needs no GIL; C's from
 * each thread itself, which is asked by a signal. All in signal handlers. */
#include "worker/dump.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/board.h"
#include "base/event.h"

#if __has_include(<execinfo.h>)
#include <execinfo.h>
#define CW_BACKTRACE 1
#endif

/* faulthandler's, and the one that asks a thread for its C stack. */
#define SIGNAL_PYTHON (CW_SIGNAL_DUMP + 1)
#define SIGNAL_THREAD (CW_SIGNAL_DUMP + 2)

enum {
  FRAMES = 64,
  PATIENCE_MS = 100,
  HOOK_S = 1 /* the hook may take; the supervisor waits a little longer */
};

/* For handlers, at any time of the process's life: set once, nothing is freed. */
static int out = STDERR_FILENO;
static atomic_int c_out; /* where C's stacks go now: `out`, or who else wants them */
static atomic_bool with_c;
static PyObject *abort_hook;
static cw_event_t aborting;
static atomic_bool ending; /* by SIGABRT */
static atomic_int answers;

static void put(int fd, const char *text) {
  if (write(fd, text, strlen(text)) < 0) return; /* nowhere left to say so */
}

#ifdef CW_BACKTRACE
static void on_thread(int sig) {
  void *frames[FRAMES];
  char name[16] = "", head[96];
  int saved = errno, fd = atomic_load(&c_out);
  prctl(PR_GET_NAME, name);
  int n = backtrace(frames, FRAMES);
  /* The last number is how Python's stacks call it. */
  snprintf(head, sizeof(head), "C stack of thread %ld (%.15s, %p):\n",
           (long)syscall(SYS_gettid), name, (void *)pthread_self());
  put(fd, head);
  /* The first two are this handler and the kernel's trampoline. */
  if (n > 2) backtrace_symbols_fd(frames + 2, n - 2, fd);
  atomic_fetch_add(&answers, 1);
  errno = saved;
}

/* Asks one thread and waits for its answer, but not for ever: it may be in the kernel.
 */
static void ask(long tid) {
  int before = atomic_load(&answers);
  if (syscall(SYS_tgkill, (long)getpid(), tid, (long)SIGNAL_THREAD) != 0) return;
  for (int i = 0; i < PATIENCE_MS && atomic_load(&answers) == before; i++)
    nanosleep(&(struct timespec){.tv_nsec = 1000 * 1000}, NULL);
}

/* getdents64(2) by hand: opendir(3) may allocate. */
static void dump_c(void) {
  struct entry {
    uint64_t ino, off;
    unsigned short len;
    unsigned char type;
    char name[];
  };
  _Alignas(8) char buf[4096];
  int dir = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  long n;
  while (dir >= 0 && (n = syscall(SYS_getdents64, dir, buf, sizeof(buf))) > 0)
    for (long at = 0; at < n;) {
      const struct entry *e = (const void *)(buf + at);
      if (e->name[0] != '.') ask(strtol(e->name, NULL, 10));
      at += e->len;
    }
  if (dir >= 0) close(dir);
}
#else
static void on_thread(int sig) {}
static void dump_c(void) {}
#endif

static void dump(void) {
  put(out, "Python stacks of all threads:\n");
  raise(SIGNAL_PYTHON);
  if (!atomic_load(&with_c)) return;
  atomic_store(&c_out, out);
  dump_c();
}

void cw_dump_to(int fd, int sig) {
  raise(sig);
  if (!atomic_load(&with_c)) return;
  atomic_store(&c_out, fd);
  dump_c();
  atomic_store(&c_out, -1); /* a thread that answers late answers nobody */
}

static void on_dump(int sig) {
  int saved = errno;
  dump();
  errno = saved;
}

static void call_hook(void) {
  PyGILState_STATE state = PyGILState_Ensure();
  PyObject *r = PyObject_CallNoArgs(abort_hook);
  if (!r) PyErr_Clear(); /* the hook's wrapper has logged it */
  Py_XDECREF(r);
  PyGILState_Release(state);
}

/* Waits for SIGABRT: in its handler nothing may wait for the GIL. The hook is called
 * once, whatever comes first. */
static void *abort_main(void *arg) {
  cw_event_wait(&aborting);
  call_hook();
  while (!atomic_load(&ending)) cw_event_wait(&aborting);
  signal(SIGABRT, SIG_DFL);
  abort();
}

static void on_abort(int sig) {
  int saved = errno;
  dump();
  if (abort_hook) {
    atomic_store(&ending, true);
    /* Who holds the GIL may never give it up. */
    signal(SIGALRM, SIG_DFL);
    alarm(HOOK_S);
    cw_event_set(&aborting);
    errno = saved;
    return;
  }
  signal(sig, SIG_DFL);
  raise(sig);
}

void cw_dump_late(void) {
  dump();
  if (abort_hook) cw_event_set(&aborting);
}

static void handle(int sig, void (*fn)(int)) {
  /* Nothing blocked: the handlers below are called from within those above. */
  struct sigaction act = {.sa_handler = fn, .sa_flags = SA_RESTART};
  sigemptyset(&act.sa_mask);
  sigaction(sig, &act, NULL);
}

void cw_dump_forked(void) {
  const int ours[] = {SIGABRT, CW_SIGNAL_DUMP, SIGNAL_THREAD};
  struct sigaction now, plain = {.sa_handler = SIG_DFL};
  for (size_t i = 0; i < CW_ARRAY_LEN(ours); i++)
    if (sigaction(ours[i], NULL, &now) == 0 &&
        (now.sa_handler == on_abort || now.sa_handler == on_dump ||
         now.sa_handler == on_thread))
      sigaction(ours[i], &plain, NULL);
}

/* Makes the thread that calls the hook. */
static CW_RAISES int prepare_hook(PyObject *hook) {
  pthread_t thread;
  cw_event_init(&aborting);
  int rc = pthread_create(&thread, NULL, abort_main, NULL);
  if (rc != 0) {
    errno = rc;
    PyErr_SetFromErrno(PyExc_OSError);
    return -1;
  }
  pthread_detach(thread);
  abort_hook = Py_NewRef(hook);
  return 0;
}

int cw_dump_register(int sig, int fd) {
  CW_ASSERT_GIL();
  PyObject *module = PyImport_ImportModule("faulthandler"), *r = NULL;
  PyObject *call = module ? PyObject_GetAttrString(module, "register") : NULL;
  PyObject *args = call ? Py_BuildValue("(iiOO)", sig, fd, Py_True, Py_False) : NULL;
  if (args) r = PyObject_CallObject(call, args);
  Py_XDECREF(args);
  Py_XDECREF(call);
  Py_XDECREF(module);
  Py_XDECREF(r);
  return r ? 0 : -1;
}

void cw_dump_prepare_c(void) {
#ifdef CW_BACKTRACE
  if (atomic_load(&with_c)) return;
  /* The first call loads a library: not in a signal handler. */
  void *frames[1];
  (void)backtrace(frames, 1);
  handle(SIGNAL_THREAD, on_thread);
  atomic_store(&with_c, true);
#endif
}

int cw_dump_init(int fd, bool c_stacks, PyObject *hook) {
  CW_ASSERT_GIL();
  out = fd;
  if (hook && prepare_hook(hook) < 0) return -1;
  if (cw_dump_register(SIGNAL_PYTHON, fd) < 0) return -1;
  if (c_stacks) cw_dump_prepare_c();
  handle(CW_SIGNAL_DUMP, on_dump);
  handle(SIGABRT, on_abort);
  return 0;
}
