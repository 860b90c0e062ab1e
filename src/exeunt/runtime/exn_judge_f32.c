#include "exn_exp_f32.h"
#include "exn_f32.h"

int exn_judge_f32(const exn_model *model, const uint8_t *arena, uint8_t exit,
                  uint16_t *class_index)
{
    const exn_policy_f32 *policy = model->policy->thresholds;
    const float *scores = (const void *)(arena + model->rings[model->logits[exit]].places[0]);
    float temperature, most, total = 0.0f, next = 0.0f;
    uint32_t best = 0, k;
    for (k = 1; k < model->class_count; k++) {
        best = scores[k] > scores[best] ? k : best;
    }
    *class_index = (uint16_t)best;
    if (policy == NULL || exit + 1 == model->exit_count) {
        return 1;
    }
    temperature = policy->temperatures[exit];
    most = scores[best] / temperature;
    for (k = 0; k < model->class_count; k++) {
        float share = exn_exp(scores[k] / temperature - most);
        total += share;
        next = k != best && share > next ? share : next;
    }
    if (policy->confidence != NULL && !(1.0f / total >= policy->confidence[exit])) {
        return 0;
    }
    return policy->margin == NULL || 1.0f / total - next / total >= policy->margin[exit];
}
