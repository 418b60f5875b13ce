"""Families of models: one file each, listed in ``dasbench.model_families.FAMILIES``.

A *member* is any model besides the base model: a subset model, a checkpoint or a removal model.
A family is a module with

* ``FILES``, ``MEMBER_FILES``: the files of the folder of the base model, and of a member, weights
  last; the registry repeats them for the rules;
* ``build(model, diffusion, shape, axes)``: (network, process) of a new model; ``shape`` is
  (C, H, W) of the images or latents; training changes only parameters that require a gradient;
* ``save``, ``save_member(folder, network, process, model)``: write a folder;
* ``load(folder, device, model)``: (network, process) of the folder of a base model or a member;
* ``load_members(folders, device, model)``: (networks, process) of several folders; shared weights
  are held in memory once;
* ``condition(model, labels, prompts)``: the ``Condition`` of examples with these labels, or None;
* for families of latents, ``encode(model, images, device)`` and ``decode(model, latents, device)``;
* for families with prompts, ``embed(model, texts, device)``.

``model`` is the section of that name of the experiment file. Networks are called only through
``dasbench.diffusion.denoiser.predict``.
"""
