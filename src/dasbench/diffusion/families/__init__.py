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

Attribution of models that were trained elsewhere uses further functions:

* for families of latents, ``encoder(model, device)``: ``encode`` as a function of images, which
  reads the autoencoder once; for families with prompts, ``embedder(model, device)`` likewise;
* for families of adapters of a pipeline, ``adapted(model, adapter, device)``: (network, process)
  with the adapter of a file that another tool wrote;
* optional, ``in_memory(pipeline)``: (network, process, autoencoder, function of texts or None) of
  a pipeline in memory.

``model`` is the section of that name of the experiment file. Networks are called only through
``dasbench.diffusion.denoiser.predict``.
"""
