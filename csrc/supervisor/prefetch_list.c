/* SPDX-License-Identifier: MIT */
/* Reads lists of what a start reads. */
#include "supervisor/prefetch_list.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LARGEST = 16 << 20 /* bytes of a list */ };

int cw_prefetch_list_read(const char *path, cw_buf_t *out) {
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

int cw_prefetch_list_init(cw_prefetch_list_t *list, char *text) {
  char *line, *rest = text;
  size_t most = 1;
  for (const char *p = text; *p; p++) most += *p == '\n';
  *list = (cw_prefetch_list_t){.lines = calloc(most, sizeof(char *))};
  if (!list->lines) return -1;
  while ((line = strsep(&rest, "\n")) != NULL)
    if ((*line >= '0' && *line <= '9') || *line == '*') list->lines[list->n++] = line;
  return 0;
}

void cw_prefetch_list_fini(cw_prefetch_list_t *list) {
  free(list->lines);
  *list = (cw_prefetch_list_t){0};
}

const char *cw_prefetch_list_path(const char *entry) {
  const char *space = strchr(entry, ' ');
  return space && space[1] == '/' ? space + 1 : NULL;
}

bool cw_prefetch_list_next(const char **at, off_t size, off_t *offset, off_t *length) {
  if (**at == '*') {
    ++*at;
    *offset = 0;
    *length = size;
    return size > 0;
  }
  while (**at >= '0' && **at <= '9') {
    char *end;
    long long from = strtoll(*at, &end, 10);
    long long count = *end == '+' ? strtoll(end + 1, &end, 10) : 0;
    *at = *end == ',' ? end + 1 : end;
    if (from >= size || count <= 0) continue;
    *offset = (off_t)from;
    *length = CW_MIN((off_t)CW_MIN(count, (long long)size), size - *offset);
    return true;
  }
  return false;
}
