/* SPDX-License-Identifier: MIT */
/* Writing and reading pid files. */
#include "supervisor/pidfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "supervisor/guarded.h"

/* The process that a pid file names, or 0. */
static int read_pid(const char *path, void *data) {
  pid_t *pid = data;
  char text[32] = "";
  struct stat st;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) return -1;
  ssize_t n =
      fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? read(fd, text, sizeof(text) - 1) : 0;
  close(fd);
  long number = n > 0 ? atol(text) : 0;
  *pid = number > 0 && number <= INT_MAX ? (pid_t)number : 0;
  return 0;
}

/* Whether a process is a cwsgi's supervisor: by its title, or its program's name before
 * it has one. Ids are given again, and in a container a file of the last one names
 * somebody of this one. A lock on the file would say more, but not across containers
 * or NFS, and its holder would have to keep it open. Where nothing is told of the
 * process, it may be one. */
static bool is_cwsgi(pid_t pid) {
  char path[40], text[256] = "";
  snprintf(path, sizeof(path), "/proc/%ld/cmdline", (long)pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return true;
  ssize_t n = read(fd, text, sizeof(text) - 1);
  close(fd);
  if (n < 0) return true;
  static const char title[] = "cwsgi: supervisor";
  if (strncmp(text, title, sizeof(title) - 1) == 0) return true;
  const char *slash = strrchr(text, '/');
  return strcmp(slash ? slash + 1 : text, "cwsgi") == 0;
}

/* Data: nothing. Writes beside the path, under a name that nobody has, then renames. */
static int write_pid(const char *path, void *data) {
  char text[32], other[PATH_MAX];
  int fd = -1, n = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
  for (int i = 0; fd < 0 && i < 8; i++) {
    snprintf(other, sizeof(other), "%s.%ld.%llx", path, (long)getpid(),
             (unsigned long long)cw_now_us());
    fd = open(other, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0 && errno != EEXIST) return -1;
  }
  if (fd < 0) return -1;
  bool ok = cw_write_all(fd, text, (size_t)n) == 0 && fchmod(fd, 0644) == 0;
  close(fd);
  if (ok && rename(other, path) == 0) return 0;
  int saved = errno;
  unlink(other);
  errno = saved;
  return -1;
}

int cw_pidfile_write(const cw_settings_t *s, const char *path) {
  cw_identity_t who;
  bool as_root;
  pid_t old = 0;
  if (cw_identity_read(s, &who) != 0) return -1;
  if (cw_guarded_call(&who, path, read_pid, &old, &as_root) != 0) old = 0;
  if (old > 0 && old != getpid() && (kill(old, 0) == 0 || errno == EPERM) &&
      is_cwsgi(old)) {
    cw_complain("--pid: %s names process %ld, which is running", path, (long)old);
    return -1;
  }
  if (cw_guarded_call(&who, path, write_pid, NULL, &as_root) == 0) return 0;
  cw_complain("--pid: cannot write %s: %s", path, strerror(errno));
  return -1;
}

static int rename_to(const char *path, void *data) {
  return rename(data, path);
}

int cw_pidfile_move(const cw_settings_t *s, const char *from, const char *to) {
  cw_identity_t who;
  bool as_root;
  char copy[PATH_MAX];
  snprintf(copy, sizeof(copy), "%s", from);
  if (cw_identity_read(s, &who) != 0) return -1;
  return cw_guarded_call(&who, to, rename_to, copy, &as_root);
}

void cw_pidfile_remove(const cw_settings_t *s, const char *path) {
  cw_identity_t who;
  bool as_root;
  pid_t named = 0;
  if (cw_identity_read(s, &who) != 0 ||
      cw_guarded_call(&who, path, read_pid, &named, &as_root) != 0 || named != getpid())
    return;
  if (cw_guarded_unlink(&who, path) != 0)
    cw_log(CW_LOG_WARNING, "--pid: cannot remove %s: %s", path, strerror(errno));
}
