/* SPDX-FileCopyrightText: 2026 oomkit contributors
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * spawn COUNT PAGES STEP: fork COUNT children that sleep, child i with PAGES + STEP * (i % 7) pages of memory.
 * Prints how many were made, waits for standard input to end, and ends them all. They end too when this program is
 * killed.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

static void child(pid_t parent, size_t bytes)
{
    char *memory;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    memory = bytes ? mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) : NULL;
    if (memory == MAP_FAILED)
        _exit(1);
    if (memory)
        memset(memory, 1, bytes);
    for (;;)
        pause();
}

int main(int argc, char **argv)
{
    int count = argc > 1 ? atoi(argv[1]) : 0;
    size_t pages = argc > 2 ? atol(argv[2]) : 0;
    size_t step = argc > 3 ? atol(argv[3]) : 0;
    size_t page_bytes = sysconf(_SC_PAGESIZE);
    pid_t parent = getpid();
    pid_t *pids = calloc(count + 1, sizeof(pid_t));
    int made = 0;
    char byte;

    while (made < count) {
        pid_t pid = fork();
        if (pid == 0)
            child(parent, (pages + step * (made % 7)) * page_bytes);
        if (pid < 0)
            break;
        pids[made++] = pid;
    }
    printf("%d %s\n", made, made < count ? strerror(errno) : "all");
    fflush(stdout);
    while (read(0, &byte, 1) > 0)
        ;
    for (int i = 0; i < made; i++)
        kill(pids[i], SIGKILL);
    for (int i = 0; i < made; i++)
        waitpid(pids[i], NULL, 0);
    return 0;
}
