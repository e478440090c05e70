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
#include "supervisor/prefetch_list.h"

enum {
  /* Opening a file waits for its folder and its inode, which no call reads ahead: so
   * many processes wait at once. */
  LANES = 4,
  CHUNK = 512 << 10, /* the kernel takes no more of a request than it would by itself */
  SAMPLES = 8,       /* files that are looked at first */
};

/* The file of an entry, open, or -1: a list may be stale, and names whatever its writer
 * liked. To open a device may do something. */
static int open_file(const char *entry, off_t *size) {
  struct stat st;
  const char *path = cw_prefetch_list_path(entry);
  if (!path || stat(path, &st) != 0 || !S_ISREG(st.st_mode)) return -1;
  *size = st.st_size;
  return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

static void read_range(int fd, off_t offset, off_t length) {
  for (off_t end = offset + length; offset < end; offset += CHUNK) {
    off_t n = CW_MIN((off_t)CHUNK, end - offset);
    if (posix_fadvise(fd, offset, n, POSIX_FADV_WILLNEED) != 0) return;
  }
}

static void read_entry(const char *entry) {
  off_t size, offset, length;
  int fd = open_file(entry, &size);
  if (fd < 0) return;
  while (cw_prefetch_list_next(&entry, size, &offset, &length))
    read_range(fd, offset, length);
  close(fd);
}

/* Whether the first page that an entry names is in memory; false where nobody can tell.
 */
static bool is_cached(const char *entry) {
  char byte;
  struct iovec iov = {&byte, 1};
  off_t size, offset, length;
  int fd = open_file(entry, &size);
  if (fd < 0) return true; /* nothing that could be read */
  /* musl has no preadv2() before 1.2.5. The offset's upper half is for 32 bits. */
  bool is = !cw_prefetch_list_next(&entry, size, &offset, &length) ||
            syscall(SYS_preadv2, fd, &iov, 1, (long)offset, 0, RWF_NOWAIT) >= 0;
  close(fd);
  return is;
}

/* A warm start must not pay for this. Sources that are only asked for their time are in
 * memory or not, whatever else is. */
static bool all_cached(const cw_prefetch_list_t *list) {
  size_t n = CW_MIN(list->n, (size_t)SAMPLES);
  for (size_t i = 0; i < n; i++) {
    size_t at = i * (list->n - 1) / CW_MAX(n - 1, (size_t)1);
    while (at < list->n - 1 && strncmp(list->lines[at], "0+0 ", 4) == 0) at++;
    if (!is_cached(list->lines[at])) return false;
  }
  return true;
}

/* In a process of its own. */
static CW_NORETURN void run(const cw_settings_t *s, cw_buf_t *text) {
  cw_prefetch_list_t list;
  unsigned lane = 0;
  pid_t parent = getppid();
  cw_title_set("cwsgi: reading ahead");
  if (cw_identity_assume(s) != 0) _exit(0);
  cw_child_tie(parent, SIGKILL);
  if (cw_prefetch_list_init(&list, text->p) != 0 || all_cached(&list)) _exit(0);
  /* The last one is this process. */
  while (lane < LANES - 1 && cw_child_fork(&(cw_child_t){.death_signal = SIGKILL}) != 0)
    lane++;
  for (size_t i = lane; i < list.n; i += LANES) read_entry(list.lines[i]);
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
  if (cw_prefetch_list_read(path, &text) == 0) {
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
