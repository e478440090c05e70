/* SPDX-License-Identifier: MIT */
/* What the container grants: processors and memory. Reads /proc and /sys; any thread.
 */
#ifndef CW_BASE_RESOURCES_H
#define CW_BASE_RESOURCES_H

#include <stdint.h>
#include <sys/types.h>

/* Processors: the affinity mask, cut to the cgroup's quota (rounded up); at least 1. */
int cw_resources_cpus(void);

/* The cgroup's memory limit in bytes, or 0 where there is none. */
int64_t cw_resources_memory(void);

/* Bytes of it that are used, without what the kernel can drop at will; negative where
 * nobody tells. */
int64_t cw_resources_used(void);

/* Resident memory of `pid`, in bytes, or -1 where it cannot be read. */
int64_t cw_resources_resident(pid_t pid);

/* Resident memory of `pid` that is its own, in bytes, or -1 where it cannot be read. */
int64_t cw_resources_private(pid_t pid);

#endif
