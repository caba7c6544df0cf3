import math

import pytest
import torch
from mmengine.registry import HOOKS, MODELS, init_default_scope
from mmpretrain.structures import DataSample

from mmsparseswin import SparseSwin, Swin
from mmsparseswin.engine import AttentionPenalty, AttentionPenaltyHook
from mmsparseswin.errors import InputError

ARCH = dict(embed_dims=16, depths=(1, 1, 1), num_heads=(1, 2, 2), num_tokens=5, token_dims=32, token_heads=4)


def weights(*shape: int, scale: float = 3.0) -> torch.Tensor:
    torch.manual_seed(1)
    return (scale * torch.randn(shape)).requires_grad_()


def penalty(form: str, logits: list[torch.Tensor]) -> torch.Tensor:
    return AttentionPenalty(form)([one.softmax(-1) for one in logits])


def test_the_published_l1_sum_is_a_constant_without_gradient():
    logits = [weights(3, 4, 7, 7), weights(3, 4, 7, 7, scale=0.1)]
    loss = penalty('l1_sum', logits)
    loss.backward()
    assert loss.item() == pytest.approx(3 * 4 * 7 * 2, rel=1e-5)  # batch * heads * tokens * layers
    assert max(one.grad.abs().max() for one in logits) < 1e-6


def test_the_published_l2_sum_is_least_where_attention_is_uniform():
    uniform, sharp = torch.zeros(2, 3, 5, 5), 50 * torch.eye(5).expand(2, 3, 5, 5)
    assert penalty('l2_sum', [uniform]).item() == pytest.approx(2 * 3)  # rows / keys
    assert penalty('l2_sum', [sharp]).item() == pytest.approx(2 * 3 * 5)
    logits = weights(2, 3, 5, 5)
    before = logits.softmax(-1).amax(-1).mean()
    penalty('l2_sum', [logits]).backward()
    assert (logits - logits.grad).softmax(-1).amax(-1).mean() < before  # a step downhill spreads attention


def test_a_step_down_the_entropy_makes_attention_sparser():
    logits = weights(2, 3, 5, 5, scale=1.0)
    before = logits.softmax(-1).amax(-1).mean()
    penalty('entropy', [logits]).backward()
    assert (logits - 50 * logits.grad).softmax(-1).amax(-1).mean() > before


@pytest.mark.parametrize('form', ['l2_mean', 'entropy'])
def test_means_depend_on_neither_batch_nor_how_images_are_split(form):
    logits = weights(4, 2, 6, 6)
    whole = penalty(form, [logits])
    assert torch.allclose(whole, penalty(form, [logits, logits]))
    assert torch.allclose(whole, penalty(form, list(logits.split([1, 3]))))
    assert torch.allclose(penalty('l2_sum', [logits, logits]), 2 * penalty('l2_sum', [logits]))


def test_entropy_goes_from_one_to_zero_and_survives_hard_attention():
    assert penalty('entropy', [torch.zeros(1, 1, 3, 9)]).item() == pytest.approx(1)
    hard = torch.eye(4).expand(1, 1, 4, 4).clone().requires_grad_()
    loss = AttentionPenalty('entropy', loss_weight=2.0)([hard])
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert torch.isfinite(hard.grad).all()
    half = torch.tensor([[[[0.5, 0.5, 0.0, 0.0]]]])
    assert AttentionPenalty('entropy')([half]).item() == pytest.approx(math.log(2) / math.log(4))


def test_unknown_forms_and_models_without_tokens_are_refused():
    with pytest.raises(InputError, match="form 'l3' is unknown"):
        AttentionPenalty('l3')
    swin = Swin(arch=dict(embed_dims=16, depths=(1,), num_heads=(1,)), img_size=32)
    with pytest.raises(InputError, match='Swin has no SparseSwin'):
        AttentionPenaltyHook().attach(swin)


def classifier(**options):
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    return MODELS.build(
        dict(
            type='mmpretrain.ImageClassifier',
            data_preprocessor=dict(type='mmpretrain.ClsDataPreprocessor'),
            backbone=dict(type='mmsparseswin.SparseSwin', arch=ARCH, img_size=64, out_type='avg_featmap', **options),
            head=dict(type='mmpretrain.LinearClsHead', num_classes=4, in_channels=32),
        )
    )


def losses(model, batch: int = 2):
    samples = [DataSample().set_gt_label(i % 4) for i in range(batch)]
    torch.manual_seed(3)
    return model(torch.randn(batch, 3, 64, 64), samples, mode='loss')


@pytest.mark.parametrize('with_cp', [False, True])
def test_any_model_gets_the_penalty_among_its_losses(with_cp):
    model = classifier(drop_path_rate=0.0, with_cp=with_cp)
    plain = losses(model)
    hook = HOOKS.build(dict(type='mmsparseswin.AttentionPenaltyHook', loss=dict(form='l1_sum', loss_weight=0.5)))
    hook.attach(model)
    found = losses(model, 3)
    assert found['loss_attention'].item() == pytest.approx(
        0.5 * 2 * 3 * 4 * 5, rel=1e-5
    )  # layers, batch, heads, tokens
    assert torch.allclose(losses(model)['loss'], plain['loss'], atol=1e-6)
    hook.loss = AttentionPenalty('entropy')
    losses(model)['loss_attention'].backward()
    stage = model.backbone.stages[3]
    assert stage.blocks[0].attn.qkv.weight.grad.abs().max() > 0
    assert model.backbone.patch_embed.proj.weight.grad.abs().max() > 0
    assert stage.blocks[1].mlp.fc2.weight.grad is None  # behind the last attention
    with torch.no_grad():
        assert model(torch.randn(1, 3, 64, 64), mode='predict')[0].pred_score.shape == (4,)
    assert hook._weights == []


def test_a_detector_with_images_of_different_sizes_gets_it_too():
    class Detector(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = SparseSwin(arch=ARCH, img_size=64, window_size=4)

        def forward(self, inputs, data_samples=None, mode='loss'):
            return {'loss_cls': sum(m.mean() for m in self.backbone(inputs))}

    model, hook = Detector(), AttentionPenaltyHook(dict(form='l1_sum'))
    hook.attach(model)
    images = torch.randn(2, 4, 64, 80)
    images[:, 3] = 1
    images[1, :, 48:] = 0  # the valid area of the second image
    found = model(images)
    assert found['loss_attention'].item() == pytest.approx(2 * 2 * 4 * 5, rel=1e-5)
    assert {'loss_cls', 'loss_attention'} == set(found)
