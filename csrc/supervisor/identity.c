/* SPDX-License-Identifier: MIT */
/* User, groups, umask, pid file, daemon. */
#include "supervisor/identity.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

/* A number, or -1. */
static long number(const char *text) {
  char *end;
  if (!isdigit((unsigned char)text[0])) return -1;
  long n = strtol(text, &end, 10);
  return *end == '\0' ? n : -1;
}

int cw_identity_read(const cw_settings_t *s, cw_identity_t *out) {
  const char *user = cw_opt_str(s, CW_OPT_USER), *group = cw_opt_str(s, CW_OPT_GROUP);
  *out = (cw_identity_t){.uid = geteuid(), .gid = getegid()};
  if (user) {
    long uid = number(user);
    struct passwd *pw = uid < 0 ? getpwnam(user) : getpwuid((uid_t)uid);
    if (uid < 0 && !pw) {
      cw_complain("--user: there is no user '%s'", user);
      return -1;
    }
    out->uid = pw ? pw->pw_uid : (uid_t)uid;
    if (pw) snprintf(out->name_text, sizeof(out->name_text), "%s", pw->pw_name);
    if (pw) out->name = out->name_text;
  }
  if (group) {
    long gid = number(group);
    struct group *gr = gid < 0 ? getgrnam(group) : NULL;
    if (gid < 0 && !gr) {
      cw_complain("--group: there is no group '%s'", group);
      return -1;
    }
    out->gid = gr ? gr->gr_gid : (gid_t)gid;
  }
  out->change = out->uid != geteuid() || out->gid != getegid();
  if (out->change && geteuid() != 0) {
    cw_complain("--user and --group need root");
    return -1;
  }
  return 0;
}

int cw_identity_own(const cw_identity_t *who, const char *path) {
  return who->change ? chown(path, who->uid, who->gid) : 0;
}

int cw_identity_assume(const cw_settings_t *s) {
  cw_identity_t who;
  const char *mask = cw_opt_str(s, CW_OPT_UMASK);
  if (mask) umask((mode_t)cw_mode_parse(mask));
  if (cw_identity_read(s, &who) != 0) return -1;
  if (!who.change) return 0;
  bool groups = who.name && cw_opt_num(s, CW_OPT_INITGROUPS);
  /* Root's supplementary groups must not stay: what they open, the app could open. */
  int rc = groups ? initgroups(who.name, who.gid) : setgroups(1, &who.gid);
  if (rc != 0 || setgid(who.gid) != 0 || setuid(who.uid) != 0) {
    cw_complain("cannot become user %ld, group %ld: %s", (long)who.uid, (long)who.gid,
                strerror(errno));
    return -1;
  }
  return 0;
}

/* The process that a pid file names, or 0. */
static pid_t read_pid(const char *path) {
  char text[32] = "";
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
  if (fd >= 0) close(fd);
  return n > 0 ? (pid_t)atol(text) : 0;
}

int cw_pidfile_write(const char *path) {
  char text[32], other[4096];
  pid_t old = read_pid(path);
  if (old > 0 && old != getpid() && (kill(old, 0) == 0 || errno == EPERM)) {
    cw_complain("--pid: %s names process %ld, which is running", path, (long)old);
    return -1;
  }
  /* Whoever looks finds a whole file. */
  snprintf(other, sizeof(other), "%s.%ld", path, (long)getpid());
  int fd = open(other, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  int n = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
  bool ok = fd >= 0 && write(fd, text, (size_t)n) == n && fchmod(fd, 0644) == 0;
  if (fd >= 0) close(fd);
  if (ok && rename(other, path) == 0) return 0;
  cw_complain("--pid: cannot write %s: %s", path, strerror(errno));
  unlink(other);
  return -1;
}

void cw_pidfile_remove(const char *path) {
  if (read_pid(path) == getpid()) unlink(path);
}

int cw_daemonize(bool keep_stdio) {
  for (int i = 0; i < 2; i++) {
    pid_t pid = fork();
    if (pid < 0) {
      cw_complain("--daemon: cannot fork: %s", strerror(errno));
      return -1;
    }
    if (pid > 0) _exit(0);
    if (i == 0) setsid();
  }
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) {
    cw_complain("--daemon: cannot open /dev/null: %s", strerror(errno));
    return -1;
  }
  for (int fd = 0; fd <= (keep_stdio ? 0 : 2); fd++) dup2(null, fd);
  /* Complaints go to standard error, and this is the place left for them. */
  if (!keep_stdio && cw_log_fd() != STDERR_FILENO) dup2(cw_log_fd(), STDERR_FILENO);
  if (null > 2) close(null);
  return 0;
}
