/* SPDX-License-Identifier: MIT */
/* Affinity, cgroup v2 and v1 limits. */
#include "base/resources.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/macros.h"

/* Reads the first line of a small file. Returns 0 or -1. */
static int read_line(const char *path, char *out, size_t len) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd >= 0 ? read(fd, out, len - 1) : -1;
  if (fd >= 0) close(fd);
  if (n <= 0) return -1;
  out[n] = '\0';
  out[strcspn(out, "\n")] = '\0';
  return 0;
}

static int64_t read_number(const char *path) {
  char line[64];
  return read_line(path, line, sizeof(line)) == 0 ? strtoll(line, NULL, 10) : -1;
}

int cw_resources_cpus(void) {
  cpu_set_t set;
  int n = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
  char line[64];
  long long quota = -1, period = 100000;
  /* "max 100000" leaves the quota unset. */
  if (read_line("/sys/fs/cgroup/cpu.max", line, sizeof(line)) == 0) {
    sscanf(line, "%lld %lld", &quota, &period);
  } else {
    quota = read_number("/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
    period = read_number("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
  }
  if (quota > 0 && period > 0) n = CW_MIN(n, (int)((quota + period - 1) / period));
  return CW_MAX(n, 1);
}

int64_t cw_resources_memory(void) {
  static const char *const files[] = {"/sys/fs/cgroup/memory.max",
                                      "/sys/fs/cgroup/memory/memory.limit_in_bytes"};
  for (size_t i = 0; i < CW_ARRAY_LEN(files); i++) {
    int64_t n = read_number(files[i]); /* 0 for "max" */
    /* v1 says "none" with a number near 2^63. */
    if (n > 0 && n < INT64_MAX / 4) return n;
  }
  return 0;
}

int64_t cw_resources_used(void) {
  int64_t used = read_number("/sys/fs/cgroup/memory.current");
  const char *stat = "/sys/fs/cgroup/memory.stat", *key = "inactive_file ";
  if (used < 0) {
    used = read_number("/sys/fs/cgroup/memory/memory.usage_in_bytes");
    stat = "/sys/fs/cgroup/memory/memory.stat";
    key = "total_inactive_file ";
  }
  /* What the kernel can drop at will is not used up. */
  char line[128];
  FILE *f = fopen(stat, "re");
  while (f && fgets(line, sizeof(line), f))
    if (strncmp(line, key, strlen(key)) == 0)
      used -= strtoll(line + strlen(key), NULL, 10);
  if (f) fclose(f);
  return used;
}

/* Resident and shared bytes of a process. Returns 0 or -1. */
static int read_statm(pid_t pid, int64_t *resident, int64_t *shared) {
  char path[64], line[256];
  long long size, r, s;
  snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
  if (read_line(path, line, sizeof(line)) != 0 ||
      sscanf(line, "%lld %lld %lld", &size, &r, &s) != 3)
    return -1;
  *resident = r * sysconf(_SC_PAGESIZE);
  *shared = s * sysconf(_SC_PAGESIZE);
  return 0;
}

int64_t cw_resources_private(pid_t pid) {
  int64_t resident, shared;
  return read_statm(pid, &resident, &shared) == 0 ? resident - shared : -1;
}

int64_t cw_resources_resident(pid_t pid) {
  int64_t resident, shared;
  return read_statm(pid, &resident, &shared) == 0 ? resident : -1;
}
