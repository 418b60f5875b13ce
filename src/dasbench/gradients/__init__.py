"""Gradients of a model for single images: features, residuals, curvature."""
