"""The commands that made the files in data/, and the benchmarks beside other libraries: `python -m experiments.NAME`.

    signals            data/signals.csv           how large features and gradients are, unit by unit (notebook 06)
    lesions            data/lesions.csv           trained networks without some of their units (notebook 09)
    lesion_costs       data/lesion_costs.csv      lesions that spare the first units or hit them, and |F| / |x| (notebook 09)
    path_spectrum      data/path_spectrum.csv     the gradient by length of its paths, fresh and trained (notebook 09)
    short_paths        data/short_paths.csv       V2 trained through some of its paths (notebook 09)
    depth              data/depth.csv             one hidden layer against two (notebook 09)
    inception_growth   data/inception_growth.csv  signals in Inception-ResNet-V2, residuals scaled (notebook 10)
    inception_pair     data/inception_pair.csv    Inception modules with and without the shortcut, trained (notebook 10)
    inception_scales   data/inception_scales.csv  wide residual Inception modules, scaled, at high rates (notebook 10)
    designs            data/designs.csv           eight designs of equal MACs (notebook 11)
    splits             data/splits.csv            thirty splits of sixteen units, of equal MACs (notebook 11)
    fashion            data/fashion_14.npz        Fashion-MNIST at 14x14
    fashion_networks   data/trained               two networks trained on Fashion-MNIST, and data/trained.csv
    bank               data/bank_*.csv            plain, V1 and V2 at three depths, looked into while they train
    atlas              data/atlas.csv             the gradient at every layer, fresh and after some steps
    causes             data/causes.csv            deep plain networks, four kinds of steps, five rates (notebook 02)
    reach              data/reach.csv             how far a step goes before its gradient no longer holds (notebook 02)
    separation         data/separation.csv        which layers of a fresh network still tell the digits apart (notebook 02)
    leaky              data/leaky.csv             plain networks that are less sensitive, and whether they train (notebook 02)
    highway_depth      data/highway_depth.csv     Highway networks of 110 and 900 layers, and their controls (notebook 01)
    highway_gradient   data/highway_gradient.csv  what reaches the first layer of fresh Highway networks (notebook 01)
    v1_depth           data/v1_depth.csv          V1 and V2 of 20 to 1001 layers (notebook 06)
    shortcut_strength  data/shortcut_strength.csv shortcuts and residuals of other strengths (notebook 06)
    training_memory    data/training_memory.csv   the memory of a step of training, predicted and measured (notebook 05)
    fuzz               data/fuzz.csv              random networks, counted, built and run: all numbers agree
    weights_of_peers   -                          logits from the files of tf-slim, Keras, torchvision and timm
    torch_unit         -                          the PyTorch that notebook 07 prints, beside the library (`make bench`)
    layer_times        data/layer_times.csv       every convolution of ResNet V2-152 alone (notebook 08)
    bench_forward      build/engine_times.csv     the forward pass in eleven engines (`make bench`, notebook 08)
    bench_unread       data/unread_times.csv      ResNet-50 in Keras' layout, with the pixels that nobody reads and without
    bench_library      -                          how quick the library itself is
    bench_training     -                          training steps per second beside Keras and PyTorch

Each keeps what it has measured at once and goes on from there when it is called again, but for the benchmarks and
layer_times, of which one run is one table. jobs.py, probe.py, turns.py, peers.py and as_built.py are what several of them
share. `pjrt_forward.py` is a program by itself, for machines that have neither TensorFlow nor this library.
data/degradation.csv and data/variants.csv are made by `python -m resnet_lib sweep`, data/forward_times.csv,
data/batch_times.csv and data/claim_times.csv by `python -m resnet_lib time`.
"""
