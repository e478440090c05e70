/* SPDX-License-Identifier: MIT */
/* Reading ahead. */
#include "supervisor/prefetch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/child.h"
#include "base/log.h"
#include "base/title.h"
#include "supervisor/identity.h"

enum {
  /* Opening a file waits for its folder and its inode, which no call reads ahead: so
   * many processes wait at once. */
  LANES = 4,
  LARGEST = 16 << 20, /* bytes of a list */
  CHUNK = 512 << 10, /* the kernel takes no more of a request than it would by itself */
  SAMPLES = 8,       /* files that are looked at first */
};

typedef struct list {
  char *text; /* owned; lines end with NUL */
  char **lines;
  size_t n;
} list_t;

/* ---- the list ------------------------------------------------------------- */

/* Returns 0, or -1 with errno; EINVAL: it is none. */
static int read_list(const char *path, cw_buf_t *out) {
  struct stat st;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), rc = -1;
  if (fd < 0) return -1;
  errno = EINVAL;
  if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > LARGEST) goto done;
  for (;;) {
    char chunk[16384];
    ssize_t n = read(fd, chunk, sizeof(chunk));
    if (n < 0) goto done;
    if (n == 0) break;
    if (cw_buf_append(out, chunk, (size_t)n) != 0) goto done;
  }
  size_t head = sizeof(CW_PREFETCH_HEAD) - 1;
  errno = EINVAL;
  if (out->len < head || memcmp(out->p, CW_PREFETCH_HEAD, head) != 0) goto done;
  if (cw_buf_append(out, "", 1) == 0) rc = 0;
done:;
  int saved = errno;
  close(fd);
  errno = saved;
  return rc;
}

/* Cuts the text into lines. Returns 0 or -1. */
static int split(char *text, list_t *out) {
  char *line, *rest = text;
  size_t most = 1;
  for (const char *p = text; *p; p++) most += *p == '\n';
  *out = (list_t){.text = text, .lines = calloc(most, sizeof(char *))};
  if (!out->lines) return -1;
  while ((line = strsep(&rest, "\n")) != NULL)
    if ((*line >= '0' && *line <= '9') || *line == '*') out->lines[out->n++] = line;
  return 0;
}

/* The file of a line, open, or -1: a list may be stale, and names whatever its writer
 * liked. To open a device may do something. */
static int open_file(const char *line) {
  struct stat st;
  const char *path = strchr(line, ' ');
  if (!path || path[1] != '/' || stat(path + 1, &st) != 0 || !S_ISREG(st.st_mode))
    return -1;
  return open(path + 1, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

/* ---- reading -------------------------------------------------------------- */

static void read_range(int fd, off_t offset, off_t length) {
  for (off_t end = offset + length; offset < end; offset += CHUNK) {
    off_t n = CW_MIN((off_t)CHUNK, end - offset);
    if (posix_fadvise(fd, offset, n, POSIX_FADV_WILLNEED) != 0) return;
  }
}

static void read_line(const char *line) {
  struct stat st;
  int fd = open_file(line);
  if (fd < 0) return;
  if (*line == '*') {
    if (fstat(fd, &st) == 0) read_range(fd, 0, st.st_size);
    close(fd);
    return;
  }
  for (const char *p = line; *p >= '0' && *p <= '9';) {
    char *end;
    long long offset = strtoll(p, &end, 10);
    long long length = *end == '+' ? strtoll(end + 1, &end, 10) : 0;
    /* More than any library has is a mistake. */
    if (offset >= 0 && length > 0 && length < (1LL << 32) && offset < (1LL << 40))
      read_range(fd, (off_t)offset, (off_t)length);
    p = *end == ',' ? end + 1 : end;
  }
  close(fd);
}

/* Whether a file's first page is in memory; false where nobody can tell. */
static bool is_cached(const char *line) {
  char byte;
  struct iovec iov = {&byte, 1};
  int fd = open_file(line);
  if (fd < 0) return true; /* nothing that could be read */
  /* musl has no preadv2() before 1.2.5. The offset's upper half is for 32 bits. */
  bool is =
      syscall(SYS_preadv2, fd, &iov, 1, strtoll(line, NULL, 10), 0, RWF_NOWAIT) >= 0;
  close(fd);
  return is;
}

/* A warm start must not pay for this. */
static bool all_cached(const list_t *list) {
  size_t n = CW_MIN(list->n, (size_t)SAMPLES);
  for (size_t i = 0; i < n; i++)
    if (!is_cached(list->lines[i * (list->n - 1) / CW_MAX(n - 1, (size_t)1)]))
      return false;
  return true;
}

/* In a process of its own. */
static CW_NORETURN void run(const cw_settings_t *s, cw_buf_t *text) {
  list_t list;
  unsigned lane = 0;
  pid_t parent = getppid();
  cw_title_set("cwsgi: reading ahead");
  if (cw_identity_assume(s) != 0) _exit(0);
  cw_child_tie(parent, SIGKILL);
  if (split(text->p, &list) != 0 || all_cached(&list)) _exit(0);
  /* The last one is this process. */
  while (lane < LANES - 1 && cw_child_fork(&(cw_child_t){.death_signal = SIGKILL}) != 0)
    lane++;
  for (size_t i = lane; i < list.n; i += LANES) read_line(list.lines[i]);
  /* They would end with this one. */
  while (wait(NULL) > 0 || errno == EINTR) {
  }
  _exit(0);
}

void cw_prefetch_start(const cw_settings_t *s, const sigset_t *mask) {
  const char *path = cw_opt_str(s, CW_OPT_PREFETCH);
  bool named = path != NULL;
  cw_buf_t text = {0};
  if (named && strcmp(path, "none") == 0) return;
  if (!named) path = CW_PREFETCH_NAME;
  if (read_list(path, &text) == 0) {
    pid_t pid = cw_child_fork(
        &(cw_child_t){.mask = mask, .death_signal = SIGKILL, .closes_private = true});
    if (pid == 0) run(s, &text);
    if (pid < 0) cw_log(CW_LOG_WARNING, "cannot read ahead: %s", strerror(errno));
  } else if (named || errno != ENOENT) {
    cw_log(CW_LOG_WARNING, "--prefetch: cannot use %s: %s", path,
           errno == EINVAL ? "`cwsgi record` has not made it" : strerror(errno));
  }
  cw_buf_free(&text);
}
