/* A stand-in for the NVIDIA driver's libnvidia-ml.so.1, for tests on machines without a GPU.
 *
 * What it says is in a file that the tests map too (INFERPRINT_NVML_SIM), laid out as
 * state.py lays it out: state.py passes the sizes and the functions' numbers as macros, and
 * the layouts are compared when this is compiled. Nothing is remembered here but which
 * process called nvmlInit, and under which load of the driver.
 *
 * The names, numbers and signatures are those that NVIDIA documents for NVML:
 * https://docs.nvidia.com/deploy/nvml-api/
 */
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

enum {
    OK = 0,
    UNINITIALIZED = 1,
    INVALID_ARGUMENT = 2,
    NOT_SUPPORTED = 3,
    NOT_FOUND = 6,
    INSUFFICIENT_SIZE = 7,
    DRIVER_NOT_LOADED = 9,
};
enum { FIELD_TOTAL_ENERGY = 83, FIELD_POWER_INSTANT = 186 };
enum { TYPE_UNSIGNED_INT = 1, TYPE_UNSIGNED_LONG_LONG = 3 };

static const int64_t NS_PER_S = 1000000000;

struct change {
    int64_t at_ns;
    double energy_j; /* true energy at at_ns */
    double power_w;  /* from at_ns on */
};

struct process {
    uint32_t pid;
    uint32_t sm_percent;
};

struct gpu {
    char uuid[96];
    char name[96];
    int64_t step_ns; /* the energy counter advances at multiples of this; 0: always */
    int64_t phase_ns;
    double counter_offset_j; /* true energy at which the counter stood at 0 */
    int32_t status;          /* what every call on this GPU returns */
    int32_t mig_mode;
    uint32_t mig_count;
    uint32_t process_count;
    char mig_uuids[MIG_MAX][96];
    struct process processes[PROCESS_MAX];
    int32_t errors[FUNCTION_COUNT]; /* what one function returns on this GPU */
    uint64_t changes;               /* of power, ever */
    struct change history[HISTORY_MAX];
};

struct state {
    uint32_t gpu_count;
    uint32_t driver_loaded;
    uint64_t driver_epoch; /* counts the loads of the driver */
    int32_t errors[FUNCTION_COUNT];
    uint32_t delay_us[FUNCTION_COUNT];
    uint64_t calls[FUNCTION_COUNT];
    struct gpu gpus[GPU_MAX];
};
_Static_assert(sizeof(struct gpu) == SIZEOF_GPU, "struct gpu differs from state.py");
_Static_assert(sizeof(struct state) == SIZEOF_STATE, "struct state differs from state.py");

struct field_value {
    uint32_t field_id, scope_id;
    int64_t timestamp_us, latency_us;
    uint32_t value_type;
    int32_t result;
    uint64_t value;
};

struct utilisation {
    uint32_t pid;
    uint64_t timestamp_us;
    uint32_t sm, memory, encoder, decoder;
};

typedef void *handle_t;

static struct state *state;
static pid_t initialised_by;
static uint64_t initialised_epoch;
static unsigned references;

static int64_t now_ns(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return time.tv_sec * NS_PER_S + time.tv_nsec;
}

static struct state *map_state(void) {
    const char *path = getenv("INFERPRINT_NVML_SIM");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0) return NULL;
    void *map = mmap(NULL, sizeof(struct state), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    return map == MAP_FAILED ? NULL : map;
}

/* Counts a call, takes its time, and says whether it is told to fail. */
static int enter(int function) {
    if (!state && !(state = map_state())) return DRIVER_NOT_LOADED;
    __atomic_add_fetch(&state->calls[function], 1, __ATOMIC_RELAXED);
    if (state->delay_us[function]) usleep(state->delay_us[function]);
    return state->errors[function];
}

static int enter_initialised(int function) {
    int error = enter(function);
    if (!state) return UNINITIALIZED;
    if (!references || initialised_by != getpid() || initialised_epoch != state->driver_epoch
        || !state->driver_loaded)
        return UNINITIALIZED;
    return error;
}

/* A handle tells a board or a MIG instance, and goes stale with the load of the driver. */
static handle_t to_handle(unsigned board, unsigned instance) {
    return (handle_t)(uintptr_t)(initialised_epoch << 16 | instance << 8 | (board + 1));
}

static unsigned instance_of(handle_t handle) { return (uintptr_t)handle >> 8 & 0xff; }

static int enter_gpu(int function, handle_t handle, struct gpu **gpu) {
    int error = enter_initialised(function);
    if (error) return error;
    unsigned board = ((uintptr_t)handle & 0xff) - 1;
    if (board >= state->gpu_count || (uintptr_t)handle >> 16 != initialised_epoch)
        return INVALID_ARGUMENT;
    *gpu = &state->gpus[board];
    return (*gpu)->status ? (*gpu)->status : (*gpu)->errors[function];
}

static int enter_board(int function, handle_t handle, struct gpu **gpu) {
    int error = enter_gpu(function, handle, gpu);
    return error || !instance_of(handle) ? error : NOT_SUPPORTED;
}

/* The last change of power at or before an instant, or the oldest that is remembered. */
static struct change change_at(struct gpu *gpu, int64_t at_ns) {
    uint64_t count = __atomic_load_n(&gpu->changes, __ATOMIC_ACQUIRE);
    uint64_t oldest = count > HISTORY_MAX - 1 ? count - (HISTORY_MAX - 1) : 0;
    uint64_t i = count - 1;
    while (i > oldest && gpu->history[i % HISTORY_MAX].at_ns > at_ns) i--;
    return gpu->history[i % HISTORY_MAX];
}

static double energy_at_j(struct gpu *gpu, int64_t at_ns) {
    struct change last = change_at(gpu, at_ns);
    return last.energy_j + last.power_w * (double)(at_ns - last.at_ns) / (double)NS_PER_S;
}

static uint64_t counter_mj(struct gpu *gpu) {
    int64_t at_ns = now_ns(CLOCK_MONOTONIC);
    if (gpu->step_ns) at_ns -= (at_ns - gpu->phase_ns) % gpu->step_ns;
    double joules = energy_at_j(gpu, at_ns) - gpu->counter_offset_j;
    return joules > 0 ? (uint64_t)(joules * 1000) : 0;
}

static int copy(char *to, unsigned length, const char *text) {
    if (strlen(text) >= length) return INSUFFICIENT_SIZE;
    strcpy(to, text);
    return OK;
}

EXPORT int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    int error = enter(F_nvmlInitWithFlags);
    if (error) return error;
    if (!state->driver_loaded) return DRIVER_NOT_LOADED;
    if (initialised_by != getpid()) references = 0;
    initialised_by = getpid();
    initialised_epoch = state->driver_epoch;
    references++;
    return OK;
}

EXPORT int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }

EXPORT int nvmlShutdown(void) {
    int error = enter(F_nvmlShutdown);
    if (error) return error;
    if (!references) return UNINITIALIZED;
    references--;
    return OK;
}

EXPORT const char *nvmlErrorString(int result) {
    static char text[32];
    snprintf(text, sizeof text, "stand-in error %d", result);
    return text;
}

EXPORT int nvmlSystemGetDriverVersion(char *version, unsigned length) {
    int error = enter_initialised(F_nvmlSystemGetDriverVersion);
    return error ? error : copy(version, length, "999.00");
}

EXPORT int nvmlSystemGetNVMLVersion(char *version, unsigned length) {
    int error = enter(F_nvmlSystemGetNVMLVersion);
    return error ? error : copy(version, length, "999.00");
}

EXPORT int nvmlDeviceGetCount_v2(unsigned *count) {
    int error = enter_initialised(F_nvmlDeviceGetCount_v2);
    if (error) return error;
    *count = state->gpu_count;
    return OK;
}

EXPORT int nvmlDeviceGetHandleByIndex_v2(unsigned index, handle_t *handle) {
    int error = enter_initialised(F_nvmlDeviceGetHandleByIndex_v2);
    if (error) return error;
    if (index >= state->gpu_count) return INVALID_ARGUMENT;
    *handle = to_handle(index, 0);
    return state->gpus[index].status;
}

EXPORT int nvmlDeviceGetHandleByUUID(const char *uuid, handle_t *handle) {
    int error = enter_initialised(F_nvmlDeviceGetHandleByUUID);
    if (error) return error;
    for (unsigned board = 0; board < state->gpu_count; board++) {
        struct gpu *gpu = &state->gpus[board];
        *handle = to_handle(board, 0);
        if (!strcmp(uuid, gpu->uuid)) return gpu->status;
        for (unsigned i = 0; i < gpu->mig_count; i++) {
            *handle = to_handle(board, i + 1);
            if (!strcmp(uuid, gpu->mig_uuids[i])) return gpu->status;
        }
    }
    return NOT_FOUND;
}

EXPORT int nvmlDeviceGetIndex(handle_t handle, unsigned *index) {
    struct gpu *gpu;
    int error = enter_gpu(F_nvmlDeviceGetIndex, handle, &gpu);
    if (error) return error;
    *index = instance_of(handle) ? instance_of(handle) - 1 : (unsigned)(gpu - state->gpus);
    return OK;
}

EXPORT int nvmlDeviceGetUUID(handle_t handle, char *uuid, unsigned length) {
    struct gpu *gpu;
    int error = enter_gpu(F_nvmlDeviceGetUUID, handle, &gpu);
    if (error) return error;
    unsigned instance = instance_of(handle);
    return copy(uuid, length, instance ? gpu->mig_uuids[instance - 1] : gpu->uuid);
}

EXPORT int nvmlDeviceGetName(handle_t handle, char *name, unsigned length) {
    struct gpu *gpu;
    int error = enter_gpu(F_nvmlDeviceGetName, handle, &gpu);
    return error ? error : copy(name, length, gpu->name);
}

EXPORT int nvmlDeviceGetTotalEnergyConsumption(handle_t handle, unsigned long long *energy_mj) {
    struct gpu *gpu;
    int error = enter_board(F_nvmlDeviceGetTotalEnergyConsumption, handle, &gpu);
    if (error) return error;
    *energy_mj = counter_mj(gpu);
    return OK;
}

/* The mean of the last second, as most GPUs since Ampere give it. */
EXPORT int nvmlDeviceGetPowerUsage(handle_t handle, unsigned *power_mw) {
    struct gpu *gpu;
    int error = enter_board(F_nvmlDeviceGetPowerUsage, handle, &gpu);
    if (error) return error;
    int64_t at_ns = now_ns(CLOCK_MONOTONIC);
    *power_mw = (unsigned)((energy_at_j(gpu, at_ns) - energy_at_j(gpu, at_ns - NS_PER_S)) * 1000);
    return OK;
}

static void fill_field(struct gpu *gpu, struct field_value *field) {
    int64_t at_ns = now_ns(CLOCK_MONOTONIC);
    field->timestamp_us = now_ns(CLOCK_REALTIME) / 1000;
    field->latency_us = 0;
    field->result = OK;
    if (field->field_id == FIELD_POWER_INSTANT) {
        field->result = gpu->errors[F_NVML_FI_DEV_POWER_INSTANT];
        field->value_type = TYPE_UNSIGNED_INT;
        field->value = (uint32_t)(change_at(gpu, at_ns).power_w * 1000);
    } else if (field->field_id == FIELD_TOTAL_ENERGY) {
        field->result = gpu->errors[F_nvmlDeviceGetTotalEnergyConsumption];
        field->value_type = TYPE_UNSIGNED_LONG_LONG;
        field->value = counter_mj(gpu);
    } else {
        field->result = NOT_SUPPORTED;
    }
}

EXPORT int nvmlDeviceGetFieldValues(handle_t handle, int count, struct field_value *fields) {
    struct gpu *gpu;
    int error = enter_board(F_nvmlDeviceGetFieldValues, handle, &gpu);
    for (int i = 0; !error && i < count; i++) fill_field(gpu, &fields[i]);
    return error;
}

EXPORT int nvmlDeviceGetMigMode(handle_t handle, unsigned *current, unsigned *pending) {
    struct gpu *gpu;
    int error = enter_board(F_nvmlDeviceGetMigMode, handle, &gpu);
    if (error) return error;
    *current = *pending = (unsigned)gpu->mig_mode;
    return OK;
}

EXPORT int nvmlDeviceGetMaxMigDeviceCount(handle_t handle, unsigned *count) {
    struct gpu *gpu;
    int error = enter_board(F_nvmlDeviceGetMaxMigDeviceCount, handle, &gpu);
    if (error) return error;
    *count = MIG_MAX;
    return OK;
}

EXPORT int nvmlDeviceGetMigDeviceHandleByIndex(handle_t handle, unsigned index, handle_t *mig) {
    struct gpu *gpu;
    int error = enter_board(F_nvmlDeviceGetMigDeviceHandleByIndex, handle, &gpu);
    if (error) return error;
    if (index >= gpu->mig_count) return NOT_FOUND;
    *mig = to_handle((unsigned)(gpu - state->gpus), index + 1);
    return OK;
}

EXPORT int nvmlDeviceGetProcessUtilization(handle_t handle, struct utilisation *samples,
                                           unsigned *count, unsigned long long last_seen_us) {
    struct gpu *gpu;
    (void)last_seen_us; /* what runs now is always newer than what was seen */
    int error = enter_board(F_nvmlDeviceGetProcessUtilization, handle, &gpu);
    if (error) return error;
    if (gpu->mig_mode) return NOT_SUPPORTED;
    unsigned room = samples ? *count : 0;
    *count = gpu->process_count;
    if (!*count) return NOT_FOUND;
    if (room < *count) return INSUFFICIENT_SIZE;
    for (unsigned i = 0; i < *count; i++)
        samples[i] = (struct utilisation){
            .pid = gpu->processes[i].pid,
            .timestamp_us = (uint64_t)now_ns(CLOCK_REALTIME) / 1000,
            .sm = gpu->processes[i].sm_percent,
        };
    return OK;
}

/* Here only to be counted: it takes a driver-wide lock, so the sampling loop stays off it. */
EXPORT int nvmlDeviceGetComputeRunningProcesses_v3(handle_t handle, unsigned *count, void *infos) {
    struct gpu *gpu;
    (void)infos;
    int error = enter_board(F_nvmlDeviceGetComputeRunningProcesses_v3, handle, &gpu);
    if (error) return error;
    *count = 0;
    return OK;
}
