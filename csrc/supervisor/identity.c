/* SPDX-License-Identifier: MIT */
/* User, groups, umask, daemon. */
#include "supervisor/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/exit_codes.h"
#include "base/log.h"

enum { NO_NUMBER = -1, NO_ID = -2 };

/* The number that a text is, or one of the two above. The greatest one means "no
 * change" to the kernel, and what lies beyond would become another one. */
static int64_t number(const char *text) {
  if (!*text || strspn(text, "0123456789") != strlen(text)) return NO_NUMBER;
  errno = 0;
  unsigned long long n = strtoull(text, NULL, 10);
  return errno || n >= UINT32_MAX ? (int64_t)NO_ID : (int64_t)n;
}

static int complain_of_id(const char *flag, const char *text) {
  cw_complain("%s: %s is out of range: ids go up to %u", flag, text, UINT32_MAX - 1);
  return -1;
}

/* Fills in the group and all groups. */
static void choose_groups(const cw_settings_t *s, const struct passwd *pw,
                          cw_identity_t *out) {
  bool group_given = cw_opt_str(s, CW_OPT_GROUP) != NULL;
  bool other = pw && pw->pw_uid != geteuid();
  /* Root's group would let a worker do in files what the group may. */
  if (!group_given && other) out->gid = pw->pw_gid;
  out->own_groups = !group_given && other;
  out->n_groups = 1;
  out->groups[0] = out->gid;
  if (!pw || (group_given && !cw_opt_num(s, CW_OPT_INITGROUPS))) return;
  int n = (int)CW_ARRAY_LEN(out->groups);
  (void)getgrouplist(pw->pw_name, out->gid, out->groups, &n);
  out->n_groups = CW_MIN(n, (int)CW_ARRAY_LEN(out->groups));
}

/* The last answer, and the question. */
static struct {
  char *user, *group;
  bool known, initgroups;
  cw_identity_t who;
} last;

static bool same(const char *a, const char *b) {
  return a && b ? strcmp(a, b) == 0 : a == b;
}

static void keep(const cw_settings_t *s, const cw_identity_t *who) {
  const char *user = cw_opt_str(s, CW_OPT_USER), *group = cw_opt_str(s, CW_OPT_GROUP);
  free(last.user);
  free(last.group);
  last.user = user ? strdup(user) : NULL;
  last.group = group ? strdup(group) : NULL;
  last.initgroups = cw_opt_num(s, CW_OPT_INITGROUPS) != 0;
  last.known = (!user || last.user) && (!group || last.group);
  last.who = *who;
}

int cw_identity_read(const cw_settings_t *s, cw_identity_t *out) {
  if (!last.known || !same(last.user, cw_opt_str(s, CW_OPT_USER)) ||
      !same(last.group, cw_opt_str(s, CW_OPT_GROUP)) ||
      last.initgroups != (cw_opt_num(s, CW_OPT_INITGROUPS) != 0))
    return cw_identity_look_up(s, out);
  *out = last.who;
  return 0;
}

int cw_identity_look_up(const cw_settings_t *s, cw_identity_t *out) {
  const char *user = cw_opt_str(s, CW_OPT_USER), *group = cw_opt_str(s, CW_OPT_GROUP);
  struct passwd *pw = NULL;
  *out = (cw_identity_t){.uid = geteuid(), .gid = getegid()};
  if (user) {
    int64_t uid = number(user);
    if (uid == NO_ID) return complain_of_id("--user", user);
    pw = uid < 0 ? getpwnam(user) : getpwuid((uid_t)uid);
    if (uid < 0 && !pw) {
      cw_complain("--user: there is no user '%s'", user);
      return -1;
    }
    out->uid = pw ? pw->pw_uid : (uid_t)uid;
  }
  if (group) {
    int64_t gid = number(group);
    if (gid == NO_ID) return complain_of_id("--group", group);
    struct group *gr = gid < 0 ? getgrnam(group) : NULL;
    if (gid < 0 && !gr) {
      cw_complain("--group: there is no group '%s'", group);
      return -1;
    }
    out->gid = gr ? gr->gr_gid : (gid_t)gid;
  }
  choose_groups(s, pw, out);
  out->change = out->uid != geteuid() || out->gid != getegid();
  if (out->change && geteuid() != 0) {
    cw_complain("--user and --group need root");
    return -1;
  }
  keep(s, out);
  return 0;
}

int cw_identity_assume(const cw_settings_t *s) {
  cw_identity_t who;
  const char *mask = cw_opt_str(s, CW_OPT_UMASK);
  if (mask) umask((mode_t)cw_mode_parse(mask));
  if (cw_identity_read(s, &who) != 0) return -1;
  if (!who.change) return 0;
  /* Root's supplementary groups must not stay: what they open, the app could open. */
  if (setgroups((size_t)who.n_groups, who.groups) != 0 || setgid(who.gid) != 0 ||
      setuid(who.uid) != 0) {
    cw_complain("cannot become user %ld, group %ld: %s", (long)who.uid, (long)who.gid,
                strerror(errno));
    return -1;
  }
  /* A program with a set-user-ID bit would be a way back. */
  if (!cw_opt_num(s, CW_OPT_ALLOW_NEW_PRIVILEGES) &&
      prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    cw_complain("cannot give up new privileges: %s", strerror(errno));
    return -1;
  }
  /* This memory was root's. Linux does the same unless fs.suid_dumpable says otherwise.
   */
  prctl(PR_SET_DUMPABLE, 0);
  /* Root's terminal: who shares its session can type there (TIOCSTI), and choose who
   * gets its signals. It fails only where this process leads a group, and a child that
   * was just forked does not. */
  if (setsid() < 0) {
    cw_complain("cannot leave the terminal: %s", strerror(errno));
    return -1;
  }
  return 0;
}

/* Waits for what the process in the background says, and ends so. */
static CW_NORETURN void await_start(int fd) {
  unsigned char code = CW_EXIT_CONFIG;
  ssize_t n;
  do n = read(fd, &code, 1);
  while (n < 0 && errno == EINTR);
  _exit(code);
}

int cw_daemonize(void) {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) {
    cw_complain("--daemon: cannot make a pipe: %s", strerror(errno));
    return -1;
  }
  for (int i = 0; i < 2; i++) {
    /* Not by cw_child_fork(): the child takes this process's place, with all it has. */
    pid_t pid = fork();
    if (pid < 0) {
      cw_complain("--daemon: cannot fork: %s", strerror(errno));
      return -1;
    }
    if (pid > 0 && i == 0) {
      close(fds[1]);
      sigset_t all;
      sigfillset(&all);
      sigprocmask(SIG_UNBLOCK, &all, NULL);
      await_start(fds[0]);
    }
    if (pid > 0) _exit(0);
    if (i == 0) setsid();
  }
  close(fds[0]);
  cw_log_attach();
  return fds[1];
}

void cw_daemon_started(int fd, int code) {
  unsigned char byte = (unsigned char)code;
  /* Nobody waits any more: it was interrupted. */
  if (write(fd, &byte, 1) != 1) cw_log(CW_LOG_DEBUG, "nobody waits for the start");
  close(fd);
}
