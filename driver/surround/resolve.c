#include "driver/surround/resolve.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/own.h"
#include "common/base/text.h"
#include "driver/nomad/task_spec.h"

#define POOL_PREFIX    "nomad-"
#define LINE_MAX_BYTES ((size_t)64 << 10) /* a group with thousands of members */

static void file_closep(FILE **file)
{
    if (*file)
        (void)fclose(*file);
    *file = NULL;
}

static FILE *file_in(const char *dir, const char *name)
{
    char *path = str_format("%s/%s", dir, name);
    FILE *file = fopen(path, "re");
    free(path);
    return file;
}

/* The user's row by name or number; false when there is none. `*out_name` is the caller's. */
static bool passwd_find(const char *etc, const char *name, int64_t uid, struct user_ids *out,
                        char **out_name)
{
    CLEANUP(file_closep) FILE *file = file_in(etc, "passwd");
    CLEANUP(str_freep) char *line = mem_array(1, LINE_MAX_BYTES);
    struct passwd row, *found = NULL;
    while (file && fgetpwent_r(file, &row, line, LINE_MAX_BYTES, &found) == 0) {
        if (name ? strcmp(row.pw_name, name) != 0 : (int64_t)row.pw_uid != uid)
            continue;
        out->uid = row.pw_uid;
        out->gid = row.pw_gid;
        *out_name = str_copy(row.pw_name);
        return true;
    }
    return false;
}

static void groups_find(const char *etc, const char *name, struct user_ids *out)
{
    CLEANUP(file_closep) FILE *file = file_in(etc, "group");
    CLEANUP(str_freep) char *line = mem_array(1, LINE_MAX_BYTES);
    struct group row, *found = NULL;
    out->groups[out->group_count++] = out->gid;
    while (file && fgetgrent_r(file, &row, line, LINE_MAX_BYTES, &found) == 0)
        for (char **member = row.gr_mem; *member && out->group_count < USER_GROUPS_MAX; member++)
            if (strcmp(*member, name) == 0 && row.gr_gid != out->gid)
                out->groups[out->group_count++] = row.gr_gid;
}

static bool number_parse(const char *text, int64_t *out)
{
    struct err ignored = { 0 };
    return int_parse(view_str(text), 0, UINT32_MAX - 1, out, &ignored);
}

static bool user_lookup(const char *etc, const char *name, struct user_ids *out, struct err *err)
{
    CLEANUP(str_freep) char *login = NULL;
    int64_t number = 0;
    const bool is_number = number_parse(name, &number);
    const bool is_pool = strncmp(name, POOL_PREFIX, strlen(POOL_PREFIX)) == 0 &&
                         number_parse(name + strlen(POOL_PREFIX), &number);
    *out = (struct user_ids){ 0 };
    if (passwd_find(etc, is_number ? NULL : name, number, out, &login)) {
        groups_find(etc, login, out);
        return true;
    }
    if (!is_number && !is_pool)
        return err_set(err, ERR_INVALID, "task: user: \"%.64s\" is not a user of this machine",
                       name);
    out->uid = out->gid = (uint32_t)number;
    out->groups[out->group_count++] = out->gid;
    return true;
}

static bool user_self(struct user_ids *out, struct err *err)
{
    gid_t groups[USER_GROUPS_MAX];
    const int count = getgroups(USER_GROUPS_MAX, groups);
    if (count < 0)
        return err_sys(err, errno, "read own groups");
    *out = (struct user_ids){ .uid = geteuid(), .gid = getegid(), .group_count = (size_t)count };
    for (int i = 0; i < count; i++)
        out->groups[i] = groups[i];
    return true;
}

bool user_find(const char *etc, const char *name, struct user_ids *out, struct err *err)
{
    if (name[0] == '\0')
        return user_self(out, err);
    if (!user_lookup(etc, name, out, err))
        return false;
    if (geteuid() == 0)
        return true;
    if (out->uid != geteuid())
        return err_set(err, ERR_DENIED, "task: user: \"%.64s\": the driver is not root", name);
    return user_self(out, err);
}

static bool has_group(const struct user_ids *ids, gid_t gid)
{
    for (size_t i = 0; i < ids->group_count; i++)
        if (ids->groups[i] == gid)
            return true;
    return ids->gid == gid;
}

bool user_may(const struct user_ids *ids, const struct stat *st, unsigned bit)
{
    if (ids->uid == 0)
        return true;
    const unsigned shift = st->st_uid == ids->uid ? 6 : has_group(ids, st->st_gid) ? 3 : 0;
    return (st->st_mode >> shift & bit) != 0;
}

char *user_name(const char *etc, uint32_t uid)
{
    struct user_ids ids;
    char *name = NULL;
    return passwd_find(etc, NULL, uid, &ids, &name) ? name : NULL;
}

static bool may_execute(const struct stat *st, const struct user_ids *ids)
{
    if (ids->uid == 0)
        return (st->st_mode & 0111) != 0;
    if (st->st_uid == ids->uid)
        return (st->st_mode & 0100) != 0;
    return (st->st_mode & (has_group(ids, st->st_gid) ? 0010 : 0001)) != 0;
}

static bool program_check(const char *path, const struct user_ids *ids, struct err *err)
{
    struct stat st;
    if (stat(path, &st) < 0) {
        const bool is_absent = errno == ENOENT || errno == ENOTDIR;
        if (!is_absent)
            return err_sys(err, errno, "task config: command: look at \"%.128s\"", path);
        return err_set(err, ERR_NOT_FOUND, "task config: command: \"%.128s\" does not exist", path);
    }
    if (S_ISDIR(st.st_mode))
        return err_set(err, ERR_INVALID, "task config: command: \"%.128s\" is a directory", path);
    if (!S_ISREG(st.st_mode))
        return err_set(err, ERR_INVALID, "task config: command: \"%.128s\" is not a file", path);
    if (!may_execute(&st, ids))
        return err_set(err, ERR_DENIED,
                       "task config: command: \"%.128s\" is not executable by the task's user",
                       path);
    return true;
}

/* Takes the first place where there is such a file at all: one that cannot be executed there is
 * said, not stepped over. */
static bool take_if_there(char *path, char **out)
{
    if (access(path, F_OK) == 0) {
        *out = path;
        return true;
    }
    free(path);
    return false;
}

static bool search_path(const char *list, const char *name, char **out)
{
    for (const char *at = list; *at;) {
        const size_t len = strcspn(at, ":");
        if (len && at[0] == '/' && take_if_there(str_format("%.*s/%s", (int)len, at, name), out))
            return true;
        at += len;
        at += *at == ':';
    }
    return false;
}

bool command_find(const struct task_spec *spec, const struct user_ids *ids, char **out,
                  struct err *err)
{
    const char *command = spec->config.command;
    const char *list = task_spec_env(spec, "PATH");
    CLEANUP(str_freep) char *path = NULL;
    if (command[0] == '/')
        path = str_copy(command);
    else if (!take_if_there(str_format("%s/%s/local/%s", spec->alloc_dir, spec->name, command),
                            &path) &&
             !take_if_there(str_format("%s/%s/%s", spec->alloc_dir, spec->name, command), &path) &&
             (strchr(command, '/') || !list || !search_path(list, command, &path)))
        return err_set(err, ERR_NOT_FOUND,
                       "task config: command: \"%.128s\" is neither in the task's directories nor "
                       "in its PATH",
                       command);
    if (!program_check(path, ids, err))
        return false;
    *out = STEAL(path);
    return true;
}

bool task_dir_find(const struct task_spec *spec, char **out, struct err *err)
{
    CLEANUP(str_freep) char *dir = str_format("%s/%s", spec->alloc_dir, spec->name);
    struct stat st;
    if (stat(dir, &st) < 0 && errno == ENOENT)
        return err_set(err, ERR_NOT_FOUND, "task: directory \"%.128s\" does not exist", dir);
    if (stat(dir, &st) < 0)
        return err_sys(err, errno, "task: look at \"%.128s\"", dir);
    if (!S_ISDIR(st.st_mode))
        return err_set(err, ERR_INVALID, "task: \"%.128s\" is not a directory", dir);
    *out = STEAL(dir);
    return true;
}

bool state_path_find(const struct task_spec *spec, const char *task_dir, char **out,
                     struct err *err)
{
    const char *path = spec->config.state.path;
    const size_t len = strlen(spec->alloc_dir);
    if (path[0] != '/') {
        *out = str_format("%s/%s", task_dir, path);
        return true;
    }
    if (strncmp(path, spec->alloc_dir, len) != 0 || path[len] != '/' || path[len + 1] == '\0')
        return err_set(err, ERR_INVALID,
                       "task config: state.path: \"%.128s\" is outside the allocation directory",
                       path);
    *out = str_copy(path);
    return true;
}

char *agent_name_of(const struct task_spec *spec)
{
    if (spec->config.state.name)
        return str_copy(spec->config.state.name);
    const char *index = task_spec_env(spec, "NOMAD_ALLOC_INDEX");
    return str_format("%s/%s/%s/%s/%s", spec->namespace_name, spec->job_id, spec->group_name,
                      spec->name, index && *index ? index : "0");
}

bool helper_find(const char *configured, const char *name, const char *libexec, char **out,
                 struct err *err)
{
    CLEANUP(str_freep) char *path = NULL;
    char self[PATH_MAX];
    const ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (configured) {
        path = str_copy(configured);
    } else if (len > 0) {
        self[len] = '\0';
        const char *slash = strrchr(self, '/');
        (void)take_if_there(str_format("%.*s/%s", (int)(slash ? slash - self : 0), self, name),
                            &path);
    }
    if (!path)
        path = str_format("%s/%s", libexec, name);
    if (access(path, X_OK) == 0) {
        *out = STEAL(path);
        return true;
    }
    if (errno == ENOENT || errno == ENOTDIR)
        return err_set(err, ERR_NOT_FOUND, "find %s: \"%.128s\" does not exist", name, path);
    return err_set(err, ERR_DENIED, "find %s: \"%.128s\" is not executable", name, path);
}
