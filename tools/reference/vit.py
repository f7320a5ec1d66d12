"""Vision transformer (arXiv 2010.11929) as timm names it; DeiT (arXiv 2012.12877) is the same network, trained otherwise."""
import torch
from torch import nn
from torch.nn import functional as F

from mobilenetv2 import ignore


def attention(qkv, heads):
    """softmax(q k^T / sqrt(d)) v per head; qkv is [N, T, 3D] = q | k | v, each heads x D/heads. Returns ([N, T, D], shares)."""
    count, tokens, width = qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3
    q, k, v = qkv.reshape(count, tokens, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
    shares = torch.softmax(q @ k.transpose(-2, -1) / (width // heads) ** 0.5, dim=-1)
    return (shares @ v).transpose(1, 2).reshape(count, tokens, width), shares


def tap_attention(tap, name, qkv, mixed, shares, last):
    """Records the attention of a layer. Of the last one only the first token's row counts: keys and values are of all."""
    width = mixed.shape[2]
    if not last:
        tap(f"{name}.qkv", qkv)
        tap(f"{name}.attn", mixed)
        return
    tap(f"{name}.q", qkv[:, :1, :width])
    tap(f"{name}.kv", qkv[:, :, width:])
    tap(f"{name}.attn", mixed[:, :1])
    tap(f"{name}.shares", shares[:, :, 0])


class PatchEmbed(nn.Module):
    def __init__(self, patch, width):
        super().__init__()
        self.proj = nn.Conv2d(3, width, patch, patch)


class Attention(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)


class Mlp(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)


class Block(nn.Module):
    """Pre-norm: x + attention(norm1(x)), then x + MLP(norm2(x)) with the exact GELU."""

    def __init__(self, width, heads, hidden, epsilon):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=epsilon)
        self.attn = Attention(width)
        self.norm2 = nn.LayerNorm(width, eps=epsilon)
        self.mlp = Mlp(width, hidden)
        self.heads = heads

    def forward(self, x, tap, name, last):
        kept = slice(0, 1) if last else slice(None)
        row = lambda part, value: tap(f"{name}.{part}", value[:, kept])
        h = self.norm1(x)
        tap(f"{name}.norm1", h)
        qkv = self.attn.qkv(h)
        h, shares = attention(qkv, self.heads)
        tap_attention(tap, name, qkv, h, shares, last)
        x = x + self.attn.proj(h)
        row("proj", x)
        h = self.norm2(x)
        row("norm2", h)
        h = F.gelu(self.mlp.fc1(h))
        row("fc1", h)
        x = x + self.mlp.fc2(h)
        row("fc2", x)
        return x


class ViT(nn.Module):
    """image [N, 3, H, W] -> logits [N, classes]; `patches` is (H / patch) * (W / patch)."""

    def __init__(self, classes, patches, width, depth, heads, hidden, patch, epsilon=1e-6, aggregate=None):
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, patches + 1, width))
        if aggregate is not None:
            self.aggregate = aggregate  # here, as the checkpoint's order has it
        self.patch_embed = PatchEmbed(patch, width)
        self.blocks = nn.ModuleList(Block(width, heads, hidden, epsilon) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=epsilon)
        self.head = nn.Linear(width, classes)

    def features(self, x, tap):
        """The class token behind the last norm, [N, 1, width]."""
        h = self.patch_embed.proj(x).flatten(2).transpose(1, 2)
        h = torch.cat([self.cls_token.expand(h.shape[0], -1, -1), h], dim=1) + self.pos_embed
        tap("patch_embed", h)
        for index, block in enumerate(self.blocks):
            h = block(h, tap, f"blocks.{index}", index == len(self.blocks) - 1)
        h = self.norm(h)[:, :1]
        tap("norm", h)
        return h

    def forward(self, image, tap=ignore):
        h = self.head(self.features(image, tap)[:, 0])
        tap("head", h)
        return h
