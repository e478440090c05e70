/* SPDX-License-Identifier: MIT */
/* The zygote's half of --preload. Workers have to be the supervisor's children, for it
 * to reap them: the zygote forks a child that forks the worker and ends, and the kernel
 * gives the orphan to the supervisor, the nearest subreaper. */
#include "worker/zygote.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"

enum { ADOPTION_US = 200, ADOPTION_TRIES = 50 * 1000 };

/* In the new worker: waits until the kernel has made it the supervisor's child, and
 * ties its life to that. */
static void be_adopted(const cw_heritage_t *h) {
  for (int i = 0; getppid() != h->supervisor; i++) {
    /* Nobody tells when it happens; it takes microseconds, or the supervisor is gone.
     */
    bool gone = kill(h->supervisor, 0) != 0 && errno == ESRCH;
    if (i == ADOPTION_TRIES || gone) _exit(0);
    usleep(ADOPTION_US);
  }
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != h->supervisor) _exit(0);
}

/* Forks twice. Returns 0 in the worker; in the zygote its id, or -1. */
static pid_t fork_worker(const cw_heritage_t *h) {
  int fds[2], saved;
  pid_t worker = -1;
  if (pipe2(fds, O_CLOEXEC) != 0) return -1;
  PyOS_BeforeFork();
  pid_t between = fork();
  if (between == 0) {
    worker = fork();
    if (worker != 0) {
      ssize_t n = write(fds[1], &worker, sizeof(worker));
      _exit(n == (ssize_t)sizeof(worker) ? 0 : 1);
    }
    be_adopted(h);
    close(fds[0]);
    close(fds[1]);
    close(h->zygote_fd);
    PyOS_AfterFork_Child();
    return 0;
  }
  saved = errno;
  PyOS_AfterFork_Parent();
  close(fds[1]);
  if (between < 0 || read(fds[0], &worker, sizeof(worker)) != (ssize_t)sizeof(worker))
    worker = -1;
  close(fds[0]);
  while (between > 0 && waitpid(between, NULL, 0) < 0 && errno == EINTR) {
  }
  if (worker < 0) cw_log(CW_LOG_ERROR, "cannot fork a worker: %s", strerror(saved));
  return worker;
}

/* Calls a function of cwsgi._preload. Returns 0 or -1. */
static CW_RAISES int call(const char *name) {
  PyObject *module = PyImport_ImportModule("cwsgi._preload");
  PyObject *r = module ? PyObject_CallMethod(module, name, NULL) : NULL;
  Py_XDECREF(module);
  Py_XDECREF(r);
  return r ? 0 : -1;
}

int cw_zygote_serve(const cw_heritage_t *h) {
  CW_ASSERT_GIL();
  cw_zygote_message_t m = {.slot = CW_SLOT_ZYGOTE, .pid = (int)getpid()};
  if (call("before_fork") < 0) return -2;
  for (;;) {
    ssize_t n;
    if (send(h->zygote_fd, &m, sizeof(m), MSG_NOSIGNAL) != (ssize_t)sizeof(m))
      return CW_SLOT_ZYGOTE;
    Py_BEGIN_ALLOW_THREADS do n = recv(h->zygote_fd, &m, sizeof(m), 0);
    while (n < 0 && errno == EINTR)
      ;
    Py_END_ALLOW_THREADS if (n != (ssize_t)sizeof(m)) return CW_SLOT_ZYGOTE;
    pid_t pid = fork_worker(h);
    if (pid == 0) return call("after_fork") < 0 ? -2 : m.slot;
    m.pid = (int)pid;
  }
}
