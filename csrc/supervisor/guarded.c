/* SPDX-License-Identifier: MIT */
/* Files as another user. */
#include "supervisor/guarded.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/log.h"

enum {
  MOST_LINKS = 40,     /* the kernel's own number */
  PROC_MAGIC = 0x9fa0, /* of statfs(2); musl has no header for it */
};

/* ---- whose is a path ------------------------------------------------------ */

static bool may_write(const cw_identity_t *who, const struct stat *st) {
  /* An owner can give itself the right. */
  if (st->st_uid == who->uid || (st->st_mode & S_IWOTH)) return true;
  if (!(st->st_mode & S_IWGRP)) return false;
  for (int i = 0; i < who->n_groups; i++)
    if (who->groups[i] == st->st_gid) return true;
  return false;
}

/* Whether `who` can put another entry in the place of this one of `folder`. */
static bool may_replace(const cw_identity_t *who, const struct stat *folder,
                        const struct stat *entry) {
  if (!may_write(who, folder)) return false;
  bool sticky = (folder->st_mode & S_ISVTX) && folder->st_uid != who->uid;
  return !sticky || !entry || entry->st_uid == who->uid;
}

static bool is_proc(const char *path) {
  struct statfs fs;
  return statfs(path, &fs) == 0 && fs.f_type == PROC_MAGIC;
}

/* Puts the target of the link `done`, then `rest`, in the place of both. `done` becomes
 * the folder that the result counts from. Returns false where that is too long. */
static bool follow(char done[PATH_MAX], char rest[PATH_MAX], size_t folder_len) {
  char target[PATH_MAX], joined[2 * PATH_MAX];
  ssize_t n = readlink(done, target, sizeof(target) - 1);
  if (n <= 0) return false;
  target[n] = '\0';
  snprintf(joined, sizeof(joined), "%s/%s", target, rest);
  if (strlen(joined) >= PATH_MAX) return false;
  memcpy(rest, joined, strlen(joined) + 1);
  done[target[0] == '/' ? 0 : folder_len] = '\0';
  return true;
}

/* Whether no part of the way to `path` can be changed by `who`, links followed. The
 * last part need not be there yet. What is found so stays so: nobody else is there. */
static bool is_ours(const cw_identity_t *who, const char *path) {
  char *full = cw_path_absolute(path), rest[PATH_MAX], done[PATH_MAX] = "";
  bool ours = full && strlen(full) < sizeof(rest);
  if (ours && who->uid == 0) {
    free(full);
    return true;
  }
  if (ours) memcpy(rest, full, strlen(full) + 1);
  free(full);
  for (int links = 0; ours;) {
    char *part = rest + strspn(rest, "/"), *end = part + strcspn(part, "/");
    size_t folder_len = strlen(done), len = (size_t)(end - part);
    struct stat folder, entry;
    if (len == 0) return true;
    if (stat(folder_len ? done : "/", &folder) != 0 ||
        folder_len + len + 2 > sizeof(done))
      return false;
    done[folder_len] = '/';
    memcpy(done + folder_len + 1, part, len);
    done[folder_len + 1 + len] = '\0';
    bool last = end[strspn(end, "/")] == '\0', is_there = lstat(done, &entry) == 0;
    if (!is_there && !last) return false;
    if (may_replace(who, &folder, is_there ? &entry : NULL)) return false;
    memmove(rest, end, strlen(end) + 1);
    if (!is_there) return true;
    if (!S_ISLNK(entry.st_mode)) continue;
    /* What is behind a descriptor of our own has no path. */
    done[folder_len] = '\0';
    bool magic = last && is_proc(folder_len ? done : "/");
    done[folder_len] = '/';
    if (magic) return true;
    ours = ++links < MOST_LINKS && follow(done, rest, folder_len);
  }
  return false;
}

bool cw_guarded_is_theirs(const cw_identity_t *who, const char *path) {
  struct stat st;
  if (!who->change || who->uid == 0 || stat(path, &st) != 0) return false;
  return may_write(who, &st) || !is_ours(who, path);
}

/* ---- as somebody else ----------------------------------------------------- */

typedef struct rights {
  uid_t uid;
  gid_t gid, *groups;
  int n_groups, death_signal, dumpable;
} rights_t;

/* The effective ids only: who may signal us still has to be root. */
static int step_down(const cw_identity_t *who, rights_t *mine) {
  mine->uid = geteuid();
  mine->gid = getegid();
  mine->dumpable = prctl(PR_GET_DUMPABLE);
  mine->n_groups = getgroups(0, NULL);
  mine->groups = calloc((size_t)CW_MAX(mine->n_groups, 1), sizeof(gid_t));
  if (!mine->groups || getgroups(mine->n_groups, mine->groups) < 0 ||
      prctl(PR_GET_PDEATHSIG, &mine->death_signal) != 0 ||
      setgroups((size_t)who->n_groups, who->groups) != 0)
    return -1;
  return setegid(who->gid) != 0 || seteuid(who->uid) != 0 ? -1 : 0;
}

static void step_up(rights_t *mine) {
  int saved = errno;
  if (seteuid(mine->uid) != 0 || setegid(mine->gid) != 0 ||
      (mine->groups &&
       setgroups((size_t)CW_MAX(mine->n_groups, 0), mine->groups) != 0)) {
    /* It would go on as somebody else. */
    cw_complain("cannot be root again: %s", strerror(errno));
    abort();
  }
  free(mine->groups);
  /* The kernel takes both away with any change of user. */
  if (mine->dumpable == 1) prctl(PR_SET_DUMPABLE, 1);
  prctl(PR_SET_PDEATHSIG, mine->death_signal);
  errno = saved;
}

int cw_guarded_call(const cw_identity_t *who, const char *path, cw_guarded_fn *fn,
                    void *data, bool *as_root) {
  rights_t mine = {0};
  *as_root = false;
  if (!who->change) return fn(path, data);
  int rc = step_down(who, &mine);
  if (rc == 0) rc = fn(path, data);
  step_up(&mine);
  if (rc >= 0 || (errno != EACCES && errno != EPERM)) return rc;
  int saved = errno;
  *as_root = is_ours(who, path);
  errno = saved;
  return *as_root ? fn(path, data) : -1;
}

/* ---- what is done --------------------------------------------------------- */

typedef struct opening {
  const cw_identity_t *who;
  bool made;
} opening_t;

static int open_log(const char *path, void *data) {
  opening_t *o = data;
  struct stat st;
  int fd = cw_log_file(path, O_EXCL);
  o->made = fd >= 0;
  if (fd < 0 && errno == EEXIST) fd = cw_log_file(path, 0);
  if (fd < 0 || !o->who->change || fstat(fd, &st) != 0 || S_ISREG(st.st_mode))
    return fd;
  /* What is no file may be root's to choose, not the workers'. */
  if (is_ours(o->who, path)) return fd;
  close(fd);
  errno = EACCES;
  return -1;
}

int cw_guarded_log(const cw_identity_t *who, const char *path) {
  opening_t o = {.who = who};
  bool as_root;
  struct stat st;
  int fd = cw_guarded_call(who, path, open_log, &o, &as_root);
  if (fd < 0 || !as_root || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) return fd;
  if (o.made ? fchown(fd, who->uid, who->gid) == 0 : may_write(who, &st)) return fd;
  int saved = o.made ? errno : EACCES;
  close(fd);
  errno = saved;
  return -1;
}

static int remove_file(const char *path, void *data) {
  return unlink(path);
}

int cw_guarded_unlink(const cw_identity_t *who, const char *path) {
  bool as_root;
  return cw_guarded_call(who, path, remove_file, NULL, &as_root);
}
