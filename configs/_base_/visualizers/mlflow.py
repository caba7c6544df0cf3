# MLflow beside log files and TensorBoard: a second base of your config, and one more line in it.
#   _base_ = ['mmsparseswin::cascade_sparseswin_coco.py', 'mmsparseswin::_base_/visualizers/mlflow.py']
#   visualizer = dict(vis_backends=_base_.mlflow_backends)
# Runs are kept as files in the folder vis_data of the run; MLflow 3 does so with MLFLOW_ALLOW_FILE_STORE=true only, and
# tracking_uri='http://HOST:PORT' beside exp_name sends them to a server instead.
mlflow_backends = [
    dict(type='LocalVisBackend'),
    dict(type='TensorboardVisBackend'),
    dict(type='MLflowVisBackend', exp_name='mmsparseswin'),
]
