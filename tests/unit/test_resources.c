/* SPDX-License-Identifier: MIT */
/* What is said of processors and memory, as far as this machine can show it. */
#include "unit/unit.h"

#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/resources.h"

enum { GROWTH = 16 << 20 };

static void memory_that_is_written_to_counts(void **state) {
  int64_t resident = cw_resources_resident(getpid());
  int64_t private = cw_resources_private(getpid());
  assert_in_range(private, 1, resident);
  char *p =
      mmap(NULL, GROWTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  assert_ptr_not_equal(p, MAP_FAILED);
  memset(p, 1, GROWTH);
  assert_true(cw_resources_resident(getpid()) - resident > GROWTH / 2);
  assert_true(cw_resources_private(getpid()) - private > GROWTH / 2);
  munmap(p, GROWTH);
}

static void memory_that_is_shared_is_not_private(void **state) {
  int64_t resident = cw_resources_resident(getpid());
  int64_t private = cw_resources_private(getpid());
  char *p =
      mmap(NULL, GROWTH, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  assert_ptr_not_equal(p, MAP_FAILED);
  memset(p, 1, GROWTH);
  assert_true(cw_resources_resident(getpid()) - resident > GROWTH / 2);
  assert_true(cw_resources_private(getpid()) - private < GROWTH / 2);
  munmap(p, GROWTH);
}

static void a_process_that_is_gone_has_none(void **state) {
  pid_t pid = fork();
  assert_true(pid >= 0);
  if (pid == 0) _exit(0);
  assert_int_equal(waitpid(pid, NULL, 0), pid);
  assert_int_equal(cw_resources_resident(pid), -1);
  assert_int_equal(cw_resources_private(pid), -1);
}

static void processors_are_those_of_the_affinity_mask(void **state) {
  cpu_set_t all, one;
  assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
  assert_in_range(cw_resources_cpus(), 1, CPU_COUNT(&all));
  int first = 0;
  while (!CPU_ISSET(first, &all)) first++;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
  assert_int_equal(cw_resources_cpus(), 1);
  assert_int_equal(sched_setaffinity(0, sizeof(all), &all), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(memory_that_is_written_to_counts),
      cmocka_unit_test(memory_that_is_shared_is_not_private),
      cmocka_unit_test(a_process_that_is_gone_has_none),
      cmocka_unit_test(processors_are_those_of_the_affinity_mask),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
