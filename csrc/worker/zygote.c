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
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/child.h"
#include "base/forked.h"
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
  cw_child_tie(h->supervisor, SIGTERM);
}

/* What came of the second fork. */
typedef struct outcome {
  pid_t worker; /* -1: it failed, */
  int error;    /* for this reason */
} outcome_t;

/* Forks twice. Returns 0 in the worker; in the zygote its id, or -1. Not by
 * cw_child_fork(): the worker is tied to another process than the one that forks it,
 * its signals stay as the zygote has them, and what is private stands in a table. */
static pid_t fork_worker(const cw_heritage_t *h) {
  int fds[2];
  outcome_t got = {.worker = -1, .error = EIO};
  if (pipe2(fds, O_CLOEXEC) != 0) return -1;
  PyOS_BeforeFork();
  cw_forked_expect(true);
  pid_t between = fork();
  if (between == 0) {
    got.worker = fork();
    if (got.worker != 0) {
      got.error = errno;
      ssize_t n = write(fds[1], &got, sizeof(got));
      _exit(n == (ssize_t)sizeof(got) ? 0 : 1);
    }
    be_adopted(h);
    close(fds[0]);
    close(fds[1]);
    cw_private_close(h->control_fd);
    PyOS_AfterFork_Child();
    cw_forked_expect(false);
    return 0;
  }
  if (between < 0) got.error = errno;
  cw_forked_expect(false);
  PyOS_AfterFork_Parent();
  close(fds[1]);
  /* Nothing comes where the one between was killed: the reason is unknown then. */
  if (between > 0 && read(fds[0], &got, sizeof(got)) != (ssize_t)sizeof(got))
    got = (outcome_t){.worker = -1, .error = EIO};
  close(fds[0]);
  while (between > 0 && waitpid(between, NULL, 0) < 0 && errno == EINTR) {
  }
  if (got.worker < 0)
    cw_log(CW_LOG_ERROR, "cannot fork a worker: %s", strerror(got.error));
  return got.worker;
}

/* Waits for what the supervisor asks for. *fd is a descriptor that came along, or -1.
 * Returns as recvmsg(2). */
static ssize_t receive_nogil(int from, cw_zygote_message_t *m, int *fd) {
  _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  struct iovec iov = {m, sizeof(*m)};
  struct msghdr msg = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control,
                       .msg_controllen = sizeof(control)};
  ssize_t n;
  *fd = -1;
  do n = recvmsg(from, &msg, MSG_CMSG_CLOEXEC);
  while (n < 0 && errno == EINTR);
  struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;
  if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
    memcpy(fd, CMSG_DATA(c), sizeof(*fd));
  return n;
}

/* Calls a function of cwsgi._preload. Returns 0 or -1. */
static CW_RAISES int call(const char *name) {
  PyObject *module = PyImport_ImportModule("cwsgi._preload");
  PyObject *r = module ? PyObject_CallMethod(module, name, NULL) : NULL;
  Py_XDECREF(module);
  Py_XDECREF(r);
  return r ? 0 : -1;
}

int cw_zygote_serve(const cw_heritage_t *h, int *word_fd) {
  CW_ASSERT_GIL();
  cw_zygote_message_t m = {.slot = CW_SLOT_ZYGOTE, .pid = (int)getpid()};
  if (call("before_fork") < 0) return -2;
  for (;;) {
    ssize_t n;
    if (send(h->control_fd, &m, sizeof(m), MSG_NOSIGNAL) != (ssize_t)sizeof(m))
      return CW_SLOT_ZYGOTE;
    Py_BEGIN_ALLOW_THREADS
    n = receive_nogil(h->control_fd, &m, word_fd);
    Py_END_ALLOW_THREADS
    if (n != (ssize_t)sizeof(m)) return CW_SLOT_ZYGOTE;
    pid_t pid = fork_worker(h);
    if (pid == 0) return call("after_fork") < 0 ? -2 : m.slot;
    if (*word_fd >= 0) close(*word_fd);
    m.pid = (int)pid;
  }
}
