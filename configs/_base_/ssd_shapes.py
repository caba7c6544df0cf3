# What the slim SSD of every backbone shares: the embedded data set, the schedule, the runtime.
_base_ = ['./datasets/shapes_ssd.py', './schedules/ssd_shapes.py', './default_runtime.py']
