"""STAM (arXiv 2103.13915): a ViT per frame, and a temporal encoder over the frames' class tokens; the authors' key names."""
import torch
from torch import nn
from torch.nn import functional as F

from mobilenetv2 import ignore
from vit import ViT, attention, tap_attention


class Aggregate(nn.Module):
    """[1, T, width] -> [1, width]: PyTorch's own encoder layers (post-norm, ReLU), their final norm, the class token."""

    def __init__(self, frames, width, depth, heads, hidden):
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, frames + 1, width))
        layer = nn.TransformerEncoderLayer(width, heads, hidden, batch_first=True)
        self.transformer_enc = nn.TransformerEncoder(layer, depth, norm=nn.LayerNorm(width))

    def embed(self, features):
        return torch.cat([self.cls_token, features], dim=1) + self.pos_embed

    def forward(self, features, tap):
        """Written out, to record every step; check_models.py holds it against PyTorch's forward."""
        x = self.embed(features)
        tap("aggregate.tokens", x)
        layers = self.transformer_enc.layers
        for index, layer in enumerate(layers):
            x = encode(layer, x, tap, f"aggregate.{index}", index == len(layers) - 1)
        x = self.transformer_enc.norm(x)[:, :1]
        tap("aggregate.norm", x)
        return x[:, 0]


def encode(layer, x, tap, name, last):
    """norm1(x + attention(x)), then norm2(x + linear2(ReLU(linear1(x)))). Of the last layer only the first token counts."""
    kept = slice(0, 1) if last else slice(None)
    row = lambda part, value: tap(f"{name}.{part}", value[:, kept])
    qkv = F.linear(x, layer.self_attn.in_proj_weight, layer.self_attn.in_proj_bias)
    h, shares = attention(qkv, layer.self_attn.num_heads)
    tap_attention(tap, name, qkv, h, shares, last)
    h = x + layer.self_attn.out_proj(h)
    row("proj", h)
    x = layer.norm1(h)
    row("norm1", x)
    h = F.relu(layer.linear1(x))
    row("linear1", h)
    h = x + layer.linear2(h)
    row("linear2", h)
    x = layer.norm2(h)
    row("norm2", x)
    return x


class Stam(ViT):
    """video [T, 3, H, W], values from 0 to 1 -> logits [classes]. Every epsilon is 1e-5."""

    def __init__(self, classes, frames, temporal_depth, temporal_heads, temporal_hidden, **spatial):
        aggregate = Aggregate(frames, spatial["width"], temporal_depth, temporal_heads, temporal_hidden)
        super().__init__(classes, epsilon=1e-5, aggregate=aggregate, **spatial)

    def forward(self, video, tap=ignore):
        features = self.features(video, tap)
        h = self.head(self.aggregate(features.transpose(0, 1), tap))
        tap("head", h)
        return h[0]

    def stream(self, video, tap=ignore):
        """Logits [T, classes] of a stream: at each frame those of the last frames, the first one repeated before it."""
        frames = self.aggregate.pos_embed.shape[1] - 1
        features = self.features(video, tap).transpose(0, 1)
        padded = torch.cat([features[:, :1].expand(-1, frames - 1, -1), features], dim=1)
        windows = [padded[:, t : t + frames] for t in range(video.shape[0])]
        return torch.cat([self.head(self.aggregate(window, ignore)) for window in windows])
