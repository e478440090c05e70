/* SPDX-License-Identifier: MIT */
/* A read-only view of "/" in which each request waits: a file system at the other end
 * of a network, as disks of virtual machines and images that are fetched lazily are.
 * Requests wait at the same time, as they do there; what the kernel has once got it
 * keeps. For bench/start.py: slowfs MICROSECONDS -f FOLDER */
#define FUSE_USE_VERSION 31
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

static long delay_us;

static void wait_a_while(void) {
  struct timespec t = {delay_us / 1000000, delay_us % 1000000 * 1000};
  while (nanosleep(&t, &t) != 0 && errno == EINTR) {
  }
}

static void *on_init(struct fuse_conn_info *conn, struct fuse_config *config) {
  config->kernel_cache = 1;
  config->entry_timeout = config->attr_timeout = config->negative_timeout = 3600;
  config->use_ino = 1;
  return NULL;
}

static int on_getattr(const char *path, struct stat *st, struct fuse_file_info *fi) {
  wait_a_while();
  return lstat(path, st) == 0 ? 0 : -errno;
}

static int on_readlink(const char *path, char *out, size_t size) {
  wait_a_while();
  ssize_t n = readlink(path, out, size - 1);
  if (n < 0) return -errno;
  out[n] = '\0';
  return 0;
}

static int on_readdir(const char *path, void *out, fuse_fill_dir_t fill, off_t offset,
                      struct fuse_file_info *fi, enum fuse_readdir_flags flags) {
  wait_a_while();
  DIR *dir = opendir(path);
  const struct dirent *entry;
  if (!dir) return -errno;
  while ((entry = readdir(dir)) != NULL) {
    struct stat st = {.st_ino = entry->d_ino, .st_mode = DTTOIF(entry->d_type)};
    if (fill(out, entry->d_name, &st, 0, 0) != 0) break;
  }
  closedir(dir);
  return 0;
}

static int on_open(const char *path, struct fuse_file_info *fi) {
  wait_a_while();
  int fd = open(path, fi->flags | O_CLOEXEC);
  if (fd < 0) return -errno;
  fi->fh = (unsigned)fd;
  return 0;
}

static int on_read(const char *path, char *out, size_t size, off_t offset,
                   struct fuse_file_info *fi) {
  wait_a_while();
  ssize_t n = pread((int)fi->fh, out, size, offset);
  return n < 0 ? -errno : (int)n;
}

static int on_release(const char *path, struct fuse_file_info *fi) {
  close((int)fi->fh);
  return 0;
}

static int on_statfs(const char *path, struct statvfs *st) {
  return statvfs(path, st) == 0 ? 0 : -errno;
}

int main(int argc, char **argv) {
  static const struct fuse_operations operations = {.init = on_init,
                                                    .getattr = on_getattr,
                                                    .readlink = on_readlink,
                                                    .readdir = on_readdir,
                                                    .open = on_open,
                                                    .read = on_read,
                                                    .release = on_release,
                                                    .statfs = on_statfs};
  if (argc < 3) {
    fprintf(stderr, "usage: slowfs MICROSECONDS [OPTIONS OF FUSE] FOLDER\n");
    return 2;
  }
  delay_us = atol(argv[1]);
  argv[1] = argv[0];
  return fuse_main(argc - 1, argv + 1, &operations, NULL);
}
