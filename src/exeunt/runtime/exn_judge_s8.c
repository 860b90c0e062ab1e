#include "exn_halving.h"
#include "exn_s8.h"

int exn_judge_s8(const exn_model *model, const uint8_t *arena, uint8_t exit,
                 uint16_t *class_index)
{
    const exn_policy_s8 *policy = model->policy->thresholds;
    const int16_t *scores = (const void *)(arena + model->rings[model->logits[exit]].places[0]);
    uint32_t best = 0, next = 0, k;
    uint64_t total = 0, first = (uint64_t)1 << EXN_HALVING_BITS;
    for (k = 1; k < model->class_count; k++) {
        best = scores[k] > scores[best] ? k : best;
    }
    *class_index = (uint16_t)best;
    if (policy == NULL || exit + 1 == model->exit_count) {
        return 1;
    }
    for (k = 0; k < model->class_count; k++) {
        uint64_t below = (uint32_t)(scores[best] - scores[k]);
        uint32_t share = exn_likelihood((below * policy->softness[exit]) >> 16);
        total += share;
        next = k != best && share > next ? share : next;
    }
    if (policy->confidence != NULL && first << 16 < policy->confidence[exit] * total) {
        return 0;
    }
    return policy->margin == NULL || (first - next) << 16 >= policy->margin[exit] * total;
}
