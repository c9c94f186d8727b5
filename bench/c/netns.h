// Namespace lists, entering them, and small things both programs need.
#ifndef BENCH_NETNS_H
#define BENCH_NETNS_H

#include <err.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

// namespaces is a list of open namespace descriptors. The one after the last,
// fd[count], is the namespace that the program was started in: home.
struct namespaces {
	int *fd;
	int count;
};

static inline void *must_alloc(size_t count, size_t size)
{
	void *memory = calloc(count, size);

	if (!memory)
		err(1, "calloc");
	return memory;
}

// ns_add opens the namespace at path and appends it.
static inline void ns_add(struct namespaces *ns, const char *path)
{
	ns->fd = realloc(ns->fd, sizeof(*ns->fd) * (ns->count + 2));
	if (!ns->fd)
		err(1, "realloc");
	ns->fd[ns->count] = open(path, O_RDONLY | O_CLOEXEC);
	if (ns->fd[ns->count] < 0)
		err(1, "open %s", path);
	ns->count++;
}

// ns_add_file appends each namespace that a file names, one path a line.
static inline void ns_add_file(struct namespaces *ns, const char *file)
{
	char line[4096];
	FILE *in = fopen(file, "re");

	if (!in)
		err(1, "open %s", file);
	while (fgets(line, sizeof(line), in)) {
		line[strcspn(line, "\n")] = 0;
		if (line[0])
			ns_add(ns, line);
	}
	fclose(in);
}

// ns_open opens what the arguments name, paths and @files, and then home.
static inline struct namespaces ns_open(char **args)
{
	struct namespaces ns = {0};

	for (; *args; args++) {
		if (**args == '@')
			ns_add_file(&ns, *args + 1);
		else
			ns_add(&ns, *args);
	}
	if (ns.count == 0)
		errx(2, "no namespaces given");
	ns_add(&ns, "/proc/thread-self/ns/net");
	ns.count--;
	return ns;
}

// ns_enter moves the calling thread: setns(2).
static inline void ns_enter(const struct namespaces *ns, int index)
{
	if (setns(ns->fd[index], CLONE_NEWNET) < 0)
		err(1, "setns");
}

// raise_nofile lifts the soft limit on descriptors to the hard one.
static inline rlim_t raise_nofile(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		err(1, "getrlimit");
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		err(1, "setrlimit");
	return limit.rlim_cur;
}

// parse_number reads a positive decimal option or ends the program.
static inline long parse_number(int option, const char *text, long max)
{
	char *end;
	long value = strtol(text, &end, 10);

	if (*end || end == text || value < 0 || value > max)
		errx(2, "-%c: want a number from 0 to %ld, got %s", option, max, text);
	return value;
}

#endif
