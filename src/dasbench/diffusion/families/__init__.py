"""The kinds of models: one file each, found through ``dasbench.registry.FAMILIES``.

A family is a module with

* ``FILES``, ``MEMBER_FILES``: the files of the base model's folder, and of every other model's
  (subset models, checkpoints, removal), weights last; the registry repeats them for the rules;
* ``build(model, diffusion, shape, axes)``: (network, process) of a new model; ``shape`` is that
  of what it denoises, and of the network those parameters are trained that require a gradient;
* ``save``, ``save_member(folder, network, process, model)``;
* ``load(folder, device, model)``: (network, process) of any of its folders;
* ``load_members(folders, device, model)``: (networks, process) of several, in one memory where
  they share weights;
* ``condition(model, labels, prompts)``: the ``Condition`` of examples with these labels, or None;
* where it denoises latents, ``encode(model, images, device)`` and ``decode(model, latents,
  device)``; where it is told prompts, ``embed(model, texts, device)``.

``model`` is the experiment's section of that name. Networks are called through
``dasbench.diffusion.denoiser.predict`` alone.
"""
