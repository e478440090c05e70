/* SPDX-License-Identifier: MIT */
/* What a forked process does before it is something else. */
#include "base/child.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/log.h"

void cw_child_tie(pid_t parent, int sig) {
  prctl(PR_SET_PDEATHSIG, sig);
  if (getppid() != parent) _exit(0);
}

static void close_private(void) {
  DIR *dir = opendir("/proc/self/fd");
  const struct dirent *entry;
  while (dir && (entry = readdir(dir)) != NULL) {
    int fd = atoi(entry->d_name), flags = fcntl(fd, F_GETFD);
    if (fd > STDERR_FILENO && fd != dirfd(dir) && fd != cw_log_fd() && flags >= 0 &&
        (flags & FD_CLOEXEC))
      close(fd);
  }
  if (dir) closedir(dir);
}

pid_t cw_child_fork(const cw_child_t *how) {
  pid_t parent = getpid(), pid = fork();
  if (pid != 0) return pid;
  if (how->death_signal) cw_child_tie(parent, how->death_signal);
  for (size_t i = 0; i < how->n_keep; i++)
    if (how->keep[i] >= 0) fcntl(how->keep[i], F_SETFD, 0);
  if (how->closes_private) close_private();
  if (how->mask) sigprocmask(SIG_SETMASK, how->mask, NULL);
  return 0;
}
